"""JSON lines and JSON documents, row by row, without holding the file."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, TextIO

from chain_core.errors import DataError

CHUNK = 1 << 20
MAX_ROW = 64 << 20  # characters
_SPACE = " \t\r\n"
_SPACES = re.compile(r"[ \t\r\n]*")


def _to_null(_: str) -> None:
    """NaN and Infinity are no labels."""


# Numbers stay as the file writes them: a label 1 is "1", a label 1.0 is "1.0".
_DECODER = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=_to_null)


def read_json_lines(file: TextIO) -> Iterator[dict[str, Any]]:
    """One object a line; blank lines are passed over. Raises DataError naming the first bad line."""
    for line, text in enumerate(file, start=1):
        text = text.strip(_SPACE + "\ufeff")
        if not text:
            continue
        try:
            row = _DECODER.decode(text)
        except json.JSONDecodeError as error:
            raise DataError("json_line", line=line, reason=error.msg) from None
        except RecursionError:
            raise DataError("json_line", line=line, reason="nested too deeply") from None
        if not isinstance(row, dict):
            raise DataError("json_no_object", line=line)
        yield row


def read_json(file: TextIO) -> Iterator[dict[str, Any]]:
    """A list of objects, or an object that holds one list of objects or equally long lists, one a column."""
    buffer = ""
    while not (buffer := buffer.lstrip(_SPACE + "\ufeff")):
        buffer = file.read(CHUNK)
        if not buffer:
            raise DataError("json_shape")
    if buffer.startswith("["):
        yield from _stream_list(file, buffer)
    else:
        yield from _unfold(_parse_whole(buffer + file.read()))


def _stream_list(file: TextIO, buffer: str) -> Iterator[dict[str, Any]]:
    """The objects of `[{…}, {…}]`; the buffer holds its beginning, and after that a chunk at a time."""
    position, line, wants = 1, 1, "item or end"
    while True:
        start = position
        position = _SPACES.match(buffer, position).end()  # type: ignore[union-attr]
        line += buffer.count("\n", start, position)
        if position >= len(buffer):
            buffer, position = file.read(CHUNK), 0
            if not buffer:
                raise DataError("json_document", line=line, reason="it ends early")
            continue
        character = buffer[position]
        if character == "]" and wants != "item":
            return
        if wants == "comma or end":
            if character != ",":
                raise DataError("json_document", line=line, reason="no comma")
            position, wants = position + 1, "item"
            continue
        row, buffer, position, end = _decode_item(file, buffer, position, line)
        if not isinstance(row, dict):
            raise DataError("json_no_object", line=line)
        yield row
        line += buffer.count("\n", position, end)
        position, wants = end, "comma or end"


def _decode_item(file: TextIO, buffer: str, position: int, line: int) -> tuple[Any, str, int, int]:
    """(item, buffer, where it begins, where it ends), reading on while the item is not complete."""
    size = CHUNK
    while True:
        try:
            item, end = _DECODER.raw_decode(buffer, position)
            return item, buffer, position, end
        except RecursionError:
            raise DataError("json_document", line=line, reason="nested too deeply") from None
        except json.JSONDecodeError as error:
            more = file.read(size) if len(buffer) - position < MAX_ROW else ""
            if not more:
                bad = line + buffer.count("\n", position, error.pos)
                raise DataError("json_document", line=bad, reason=error.msg) from None
            buffer, position, size = buffer[position:] + more, 0, size * 2


def _parse_whole(text: str) -> Any:
    try:
        return _DECODER.decode(text.rstrip(_SPACE + "\0"))
    except json.JSONDecodeError as error:
        raise DataError("json_document", line=error.lineno, reason=error.msg) from None
    except RecursionError:
        raise DataError("json_document", line=1, reason="nested too deeply") from None


def _unfold(document: Any) -> Iterator[dict[str, Any]]:
    if not isinstance(document, dict):
        raise DataError("json_shape")
    tables = [value for value in document.values() if _is_table(value)]
    if len(tables) == 1:
        yield from tables[0]
        return
    columns = {name: list(_get_cells(value)) for name, value in document.items()}
    lengths = {len(cells) for cells in columns.values()}
    if len(lengths) != 1 or lengths == {0}:
        raise DataError("json_shape")
    for cells in zip(*columns.values(), strict=True):
        yield dict(zip(columns, cells, strict=True))


def _is_table(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)


def _get_cells(value: Any) -> Any:
    """A column as a list, or as pandas writes it: {"0": cell, "1": cell}."""
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()
