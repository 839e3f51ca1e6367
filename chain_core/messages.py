"""Sentences for people, in every language the workbench speaks.

One catalogue serves the screens, the command line and the errors: `assets/locales/<language>.json`, a flat
mapping from a dotted key to a sentence. A sentence may hold `{name}` (an integer gets thousands separators, a
float four significant digits) and `{name|row|rows}` (singular where the number is 1, else plural).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

LOCALES = Path(__file__).resolve().parent.parent / "assets" / "locales"
LANGUAGES = ("en", "zh")
_FIELD = re.compile(r"\{(\w+)(?:\|([^|{}]*)\|([^|{}]*))?\}")


@cache
def load_catalogue(language: str) -> Mapping[str, str]:
    """All sentences of one of LANGUAGES."""
    return json.loads((LOCALES / f"{language}.json").read_text(encoding="utf-8"))


def format_value(value: object) -> str:
    """A number as a person writes it: 12,345 or 0.8123; anything else as its text."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def render(key: str, language: str = "en", /, **params: object) -> str:
    """The sentence under `key` with its fields filled; a missing key or field shows its own name."""

    def fill(match: re.Match[str]) -> str:
        name, one, many = match.groups()
        if name not in params:
            return match.group(0)
        if one is None:
            return format_value(params[name])
        return one if params[name] == 1 else many

    sentence = load_catalogue(language).get(key, key)
    return _FIELD.sub(fill, sentence)
