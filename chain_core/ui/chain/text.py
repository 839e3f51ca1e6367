"""Lists of numbers and counts of parameters as people type them. Pure."""

from __future__ import annotations

import math
import re
from typing import Any


def format_numbers(value: Any) -> str:
    """[1, 0.5] -> "1, 0.5"; None -> ""; anything else as its text."""
    if value is None:
        return ""
    return ", ".join(str(item) for item in value) if isinstance(value, list | tuple) else str(value)


def read_numbers(text: str) -> list[int | float] | str | None:
    """ "1, 0.5" -> [1, 0.5]; "" -> None; anything else as it was typed, so that its problem can be told."""
    parts = [part for part in re.split(r"[\s,;，、；\[\]]+", text) if part]
    if not parts:
        return None
    numbers = [_read_number(part) for part in parts]
    return text.strip() if None in numbers else [number for number in numbers if number is not None]


def read_count(text: str) -> int | str | None:
    """ "500,000" -> 500000; "" -> None; `500k` and what is no number as it was typed."""
    bare = text.strip()
    plain = re.sub(r"[,_\s]", "", bare)
    return None if not bare else int(plain) if plain.isascii() and plain.isdecimal() else bare


def _read_number(part: str) -> int | float | None:
    try:
        return int(part)
    except ValueError:
        pass
    try:
        number = float(part)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
