"""What a file is: its format, encoding and delimiter, by its bytes first and its name second."""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
from dataclasses import dataclass
from pathlib import Path

from chain_core.data.encodings import BOMS, HEAD_BYTES, check_encoding, detect_encoding, detect_wide, find_bad_line
from chain_core.errors import DataError

FORMATS = ("csv", "tsv", "json", "jsonl", "parquet", "conll")
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
        encoding = check_encoding(encoding)
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
    if b"\0" in head and not head.startswith(tuple(BOMS)) and not detect_wide(head):
        raise DataError("binary_file", name=name)


def _decode_head(head: bytes, encoding: str, path: Path, name: str) -> str:
    try:
        return codecs.getincrementaldecoder(encoding)().decode(head)
    except UnicodeError:
        line = find_bad_line(path, encoding)
        raise DataError("undecodable", name=name, encoding=encoding, line=line) from None


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
