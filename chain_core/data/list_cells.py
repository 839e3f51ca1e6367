"""Lists that were written into one cell of a CSV file: `['a', 'b']` as Python and pandas do, `["a", "b"]` as JSON does,
`['a' 'b']` as numpy does.

Nothing is evaluated: a cell is a list where it matches a flat grammar of quoted texts and whole numbers, which is
checked in time that grows with its length only.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Sequence

from chain_core.data.cells import MISSING

MOST_CHARACTERS = 200_000
"""Of a cell; a longer one is text."""
_ITEM = r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[-+]?\d+|None|True|False|null|true|false"""
_COMMAS = re.compile(rf"\[\s*(?:(?:{_ITEM})\s*(?:,\s*(?:{_ITEM})\s*)*,?\s*)?\]", re.DOTALL)
_SPACES = re.compile(rf"\[\s*(?:{_ITEM})(?:\s+(?:{_ITEM}))*\s*\]", re.DOTALL)
_ITEMS = re.compile(_ITEM, re.DOTALL)
_WORDS = {"None": None, "null": None, "True": "true", "true": "true", "False": "false", "false": "false"}


def parse_list(cell: str) -> list[str | None] | None:
    """The items of a list as texts, null where the list has None; None where the cell is no such list."""
    cell = cell.strip()
    if not (cell.startswith("[") and cell.endswith("]")) or len(cell) > MOST_CHARACTERS:
        return None
    if not (_COMMAS.fullmatch(cell) or _SPACES.fullmatch(cell)):
        return None
    try:
        return [_parse_item(item) for item in _ITEMS.findall(cell)]
    except (ValueError, SyntaxError):  # an escape that neither language has
        return None


def _parse_item(item: str) -> str | None:
    if item in _WORDS:
        return _WORDS[item]
    if item[0] not in "'\"":
        return item
    if item[0] == '"':
        try:
            return json.loads(item, strict=False)
        except ValueError:
            pass  # Python's escapes are not all JSON's
    return ast.literal_eval(item.replace("\n", "\\n").replace("\r", "\\r"))


def find_list_columns(rows: Iterable[Sequence[str]], columns: Iterable[int]) -> set[int]:
    """Those of the columns, by number, whose every cell is a list or missing, and one at least a list with an item."""
    left, filled = set(columns), set()
    for row in rows:
        for column in list(left):
            if row[column].strip() in MISSING:
                continue
            items = parse_list(row[column])
            if items is None:
                left.discard(column)
            elif items:
                filled.add(column)
        if not left:
            break
    return left & filled
