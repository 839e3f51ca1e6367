"""What a file is: its format, encoding and delimiter, by its bytes first and its name second."""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from charset_normalizer import from_bytes

from chain_core.errors import DataError

HEAD_BYTES = 256 * 1024
BLOCK_BYTES = 4 * 1024 * 1024
FORMATS = ("csv", "tsv", "json", "jsonl", "parquet", "conll")
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "gb18030", "latin-1", "cp1252")
DELIMITERS = (",", ";", "\t", "|")
SUFFIXES = {
    ".csv": "csv", ".tsv": "tsv", ".tab": "tsv", ".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl",
    ".parquet": "parquet", ".pq": "parquet",
    ".conll": "conll", ".conllu": "conll", ".bio": "conll", ".iob": "conll", ".iob2": "conll",
}  # fmt: skip
_MAGIC = {
    b"\x89PNG": "picture", b"\xff\xd8\xff": "picture", b"GIF8": "picture", b"II*\x00": "picture",
    b"MM\x00*": "picture", b"%PDF": "pdf", b"PK\x03\x04": "zip", b"\x1f\x8b": "zip", b"7z\xbc\xaf": "zip",
    b"BZh": "zip", b"\xfd7zXZ": "zip", b"\xd0\xcf\x11\xe0": "office", b"SQLite format 3\x00": "other",
    b"\x7fELF": "other", b"ARROW1": "other",
}  # fmt: skip
_BOMS = {
    b"\xff\xfe\x00\x00": "utf-32", b"\x00\x00\xfe\xff": "utf-32",
    b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16",
}  # fmt: skip
_TAG = re.compile(r"(O|[BIESLU]-\S+)$")


@dataclass(frozen=True)
class Source:
    """How one file is read. `encoding` is None for Parquet, `delimiter` where there is none."""

    format: str
    encoding: str | None
    delimiter: str | None
    quoting: bool = True
    """Whether quotation marks enclose cells; many TSV files use them as plain characters."""


def detect_source(path: Path, *, name: str = "", encoding: str | None = None, delimiter: str | None = None) -> Source:
    """How to read `path`; `encoding` and `delimiter` overrule. `name`: what the user calls the file.

    Raises DataError for an empty file, a picture or archive, an encoding that cannot be or is unknown.
    """
    name = name or path.name
    head = _read_head(path, name)
    if head.startswith(b"PAR1"):
        return Source("parquet", None, None)
    if encoding:
        encoding = _check_encoding(encoding)
    else:
        _refuse_binary(head, name)
        encoding = detect_encoding(path, name)
    text = _decode_head(head, encoding, path, name)
    if not text.strip("\ufeff\0 \r\n\t"):
        raise DataError("empty_file", name=name)
    if "\0" in text:
        raise DataError("binary_file", name=name)
    kind = _detect_format(text, Path(name).suffix.lower())
    if kind not in ("csv", "tsv"):
        return Source(kind, encoding, None)
    delimiter = delimiter or _detect_delimiter(text, kind)
    quoting = delimiter != "\t" or _fits_quoting(text, delimiter)
    return Source("tsv" if delimiter == "\t" else "csv", encoding, delimiter, quoting)


def decode_blocks(path: Path, encoding: str) -> Iterator[str]:
    """The file's text, block by block, strictly. Raises UnicodeError where bytes do not fit."""
    decoder = codecs.getincrementaldecoder(encoding)()
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            yield decoder.decode(block)
        yield decoder.decode(b"", final=True)


def detect_encoding(path: Path, name: str = "") -> str:
    """The encoding in which every byte of the file fits. Raises DataError where none is plausible."""
    head = _read_head(path, name)
    for bom, encoding in _BOMS.items():
        if head.startswith(bom):
            return encoding
    if wide := _detect_wide(head):
        return wide
    if _fits(path, "utf-8"):
        return "utf-8"
    sample = _read_beyond_ascii(path)
    if _is_damaged_utf8(sample):
        raise DataError("undecodable", name=name, encoding="utf-8", line=find_bad_line(path, "utf-8"))
    if _looks_chinese(sample) and _fits(path, "gb18030"):
        return "gb18030"
    if _looks_western(sample):
        if not any(0x80 <= byte <= 0x9F for byte in sample):
            return "latin-1"
        if _fits(path, "cp1252"):
            return "cp1252"
    best = from_bytes(sample).best()
    if best is not None and best.encoding != "ascii" and _fits(path, best.encoding):
        return best.encoding.replace("_", "-")
    raise DataError("undecodable", name=name, encoding="utf-8", line=find_bad_line(path, "utf-8"))


def find_bad_line(path: Path, encoding: str) -> int:
    """The number of the first line, from 1, that holds a byte which does not fit the encoding."""
    line = 1
    decoder = codecs.getincrementaldecoder(encoding)()
    with path.open("rb") as file:
        while True:
            block = file.read(BLOCK_BYTES)
            try:
                line += decoder.decode(block, final=not block).count("\n")
            except UnicodeError as error:
                good = error.object[: error.start] if isinstance(error, UnicodeDecodeError) else b""
                return line + good.decode(encoding, "ignore").count("\n")
            if not block:
                return line


def _read_head(path: Path, name: str) -> bytes:
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError as error:
        raise DataError("file_unreadable", name=name, reason=error.strerror or str(error)) from None
    if not head:
        raise DataError("empty_file", name=name)
    return head


def _refuse_binary(head: bytes, name: str) -> None:
    for magic, what in _MAGIC.items():
        if head.startswith(magic):
            raise DataError(f"file_is_{what}" if what != "other" else "binary_file", name=name)
    if (head.startswith(b"RIFF") and head[8:12] == b"WEBP") or (head.startswith(b"BM") and b"\0" in head[:64]):
        raise DataError("file_is_picture", name=name)
    if b"\0" in head and not head.startswith(tuple(_BOMS)) and not _detect_wide(head):
        raise DataError("binary_file", name=name)


def _check_encoding(encoding: str) -> str:
    """The codec's name; DataError for one that is unknown or does not give text."""
    try:
        info = codecs.lookup(encoding)
        "".encode(encoding)
    except (LookupError, ValueError, TypeError):
        raise DataError("encoding_unknown", encoding=encoding, known=", ".join(ENCODINGS)) from None
    return "latin-1" if info.name == "iso8859-1" else info.name


def _decode_head(head: bytes, encoding: str, path: Path, name: str) -> str:
    try:
        return codecs.getincrementaldecoder(encoding)().decode(head)
    except UnicodeError:
        line = find_bad_line(path, encoding)
        raise DataError("undecodable", name=name, encoding=encoding, line=line) from None


def _detect_wide(head: bytes) -> str | None:
    """UTF-16 without a mark: text that is partly ASCII has NULs on one side of its pairs only."""
    pairs = len(head) // 2
    if pairs < 2 or b"\0" not in head:
        return None
    low, high = head[0 : 2 * pairs : 2].count(0), head[1 : 2 * pairs : 2].count(0)
    for few, many, encoding in ((low, high, "utf-16-le"), (high, low, "utf-16-be")):
        if few == 0 and many > pairs * 0.1:
            try:
                codecs.getincrementaldecoder(encoding)().decode(head)
            except UnicodeError:
                continue
            return encoding
    return None


def _fits(path: Path, encoding: str) -> bool:
    try:
        for _ in decode_blocks(path, encoding):
            pass
    except (UnicodeError, LookupError):
        return False
    return True


def _read_beyond_ascii(path: Path, limit: int = HEAD_BYTES) -> bytes:
    """Up to `limit` bytes of those lines that hold a byte beyond ASCII."""
    found, size = [], 0
    with path.open("rb") as file:
        while size < limit and (line := file.readline(limit)):
            if not line.isascii():
                found.append(line)
                size += len(line)
    return b"".join(found)


def _is_damaged_utf8(sample: bytes) -> bool:
    """UTF-8 with a few wrong bytes, rather than another encoding."""
    text = sample.decode("utf-8", "replace")
    wrong = text.count("\ufffd")
    right = sum(1 for character in text if ord(character) > 127) - wrong
    return right >= wrong


def _looks_chinese(sample: bytes) -> bool:
    """Most pairs of bytes stand in GB 2312's tables of common characters."""
    text = sample.decode("gb18030", "replace")
    foreign = [character for character in text if ord(character) > 127]
    common = 0
    for character in foreign:
        try:
            common += len(character.encode("gb2312")) == 2
        except UnicodeError:
            continue
    return bool(foreign) and common >= 0.8 * len(foreign)


def _looks_western(sample: bytes) -> bool:
    """Accents here and there among plain letters."""
    high = sum(byte > 127 for byte in sample)
    letters = sum(chr(byte).isalpha() for byte in sample if byte < 128)
    return high <= 0.34 * (letters + high)


def _detect_format(text: str, suffix: str) -> str:
    named = SUFFIXES.get(suffix)
    start = text.lstrip("\ufeff \r\n\t")
    if named == "conll":
        return "conll"
    if start.startswith("["):
        if named == "json" or (named not in ("csv", "tsv") and _is_json_start(start[1:].lstrip())):
            return "json"
        return "json" if start[1:].lstrip().startswith("{") else (named or "csv")
    if start.startswith("{"):
        first, *rest = start.split("\n", 2)
        more = bool(rest) and rest[0].lstrip().startswith("{")
        if named == "jsonl" or (_is_json_object(first) and (more or named != "json")):
            return "jsonl"
        return "json" if named == "json" or _is_json_start(start) else (named or "jsonl")
    if named == "parquet":
        named = None
    if named is None and _looks_conll(text):
        return "conll"
    if named in ("json", "jsonl"):
        return named
    return named or "csv"


def _is_json_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def _is_json_start(text: str) -> bool:
    return bool(re.match(r'[{\["\]]', text))


def _looks_conll(text: str) -> bool:
    """Blank-line separated blocks of at least two columns, the last of them tags."""
    lines = [line.split() for line in text.splitlines()[:-1][:2000]]
    words = [line for line in lines if len(line) > 1 and not line[0].startswith("#")]
    if len(words) < 3 or not any(not line for line in lines[:-1]):
        return False
    tagged = sum(bool(_TAG.match(line[-1])) for line in words)
    return tagged >= 0.95 * len(words)


def _detect_delimiter(text: str, kind: str) -> str:
    """The delimiter that cuts the first rows into equally many cells, and the header into most."""
    if kind == "tsv":
        return "\t"
    best, best_score = ",", (0.0, 0)
    for delimiter in DELIMITERS:
        widths = [len(row) for row in _read_sample(text, delimiter)]
        if not widths or widths[0] < 2:
            continue
        score = (round(widths.count(widths[0]) / len(widths), 1), widths[0])
        if score > best_score:
            best, best_score = delimiter, score
    return best


def _read_sample(text: str, delimiter: str, limit: int = 200, strict: bool = False) -> list[list[str]]:
    """The first rows, without the last one, which the sample may have cut."""
    lines = list(io.StringIO(text.lstrip("\ufeff"), newline=""))
    cut = len(text) >= HEAD_BYTES // 4
    lines = lines[:-1] if cut and len(lines) > 1 else lines
    rows: list[list[str]] = []
    try:
        for row in csv.reader(lines, delimiter=delimiter, strict=strict):
            if row:
                rows.append(row)
            if len(rows) >= limit:
                break
    except csv.Error as error:
        if strict and not (cut and "end of data" in str(error)):
            raise
    return rows


def _fits_quoting(text: str, delimiter: str) -> bool:
    """Whether quotation marks in the sample open and close whole cells."""
    try:
        rows = _read_sample(text, delimiter, limit=10_000, strict=True)
    except csv.Error:
        return False
    return len({len(row) for row in rows}) <= 1
