"""Which encoding a file's bytes are in: strict UTF-8 first, then what looks like it and fits to the last byte."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from pathlib import Path

from charset_normalizer import from_bytes

from chain_core.errors import DataError

HEAD_BYTES = 256 * 1024
BLOCK_BYTES = 4 * 1024 * 1024
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "gb18030", "latin-1", "cp1252")
BOMS = {
    b"\xff\xfe\x00\x00": "utf-32", b"\x00\x00\xfe\xff": "utf-32",
    b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16",
}  # fmt: skip


def decode_blocks(path: Path, encoding: str) -> Iterator[str]:
    """The file's text, block by block, strictly. Raises UnicodeError where bytes do not fit."""
    decoder = codecs.getincrementaldecoder(encoding)()
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            yield decoder.decode(block)
        yield decoder.decode(b"", final=True)


def detect_encoding(path: Path, name: str = "") -> str:
    """The encoding in which every byte of the file fits. Raises DataError where none is plausible."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    for bom, encoding in BOMS.items():
        if head.startswith(bom):
            return encoding
    if wide := detect_wide(head):
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


def check_encoding(encoding: str) -> str:
    """The codec's name; DataError for one that is unknown or does not give text."""
    try:
        info = codecs.lookup(encoding)
        "".encode(encoding)
    except (LookupError, ValueError, TypeError):
        raise DataError("encoding_unknown", encoding=encoding, known=", ".join(ENCODINGS)) from None
    return "latin-1" if info.name == "iso8859-1" else info.name


def detect_wide(head: bytes) -> str | None:
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
