"""CoNLL-style files: a token a line with its columns, a blank line between rows."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from typing import Any, TextIO

from chain_core.errors import DataError

_UNIVERSAL = 10  # columns of a CoNLL-U file: number, form, lemma, …


def read_conll(file: TextIO) -> Iterator[dict[str, Any]]:
    """Rows {"tokens": […], …, "tags": […]}: the first column and the last, those between as column_2, ….

    Lines that begin with `#` before a row's first token, and -DOCSTART- rows, are passed over; CoNLL-U's
    leading number column is too. Raises DataError where two lines differ in their number of columns.
    """
    width = 0
    separator: str | None = None
    numbered = False
    row: list[list[str]] = []
    for line, text in enumerate(file, start=1):
        text = text.rstrip("\r\n").lstrip("\ufeff")
        if not text.strip():
            if row:
                yield _build_row(row, numbered)
                row = []
            continue
        if text.startswith("-DOCSTART-") or _is_comment(text, row, separator, width):
            continue
        if not width:
            separator = "\t" if "\t" in text.strip() else None
        cells = text.strip("\r\n").split(separator)
        if not width:
            width, numbered = len(cells), len(cells) == _UNIVERSAL and cells[0][0] == "1"
            if width < 2:
                raise DataError("conll_one_column", line=line)
        if len(cells) != width:
            raise DataError("conll_columns", line=line, expected=width, found=len(cells))
        if not (numbered and not cells[0].isdigit()):  # CoNLL-U: 1-2 spans the next two lines
            row.append([cell.strip() for cell in cells])
    if row:
        yield _build_row(row, numbered)


def _is_comment(text: str, row: list[list[str]], separator: str | None, width: int) -> bool:
    """`# …` before a row's tokens; the token # itself has as many columns as any other."""
    return text.startswith("#") and not row and (not width or len(text.split(separator)) != width)


def _build_row(row: list[list[str]], numbered: bool) -> dict[str, Any]:
    columns = [list(cells) for cells in zip_longest(*row)]
    if numbered:
        columns = columns[1:]
    names = ["tokens", *(f"column_{position}" for position in range(2, len(columns))), "tags"]
    return dict(zip(names, columns, strict=True))
