"""The Data page's things in words: roles, kinds, formats, delimiters, notes."""

from __future__ import annotations

from collections.abc import Iterable

from chain_core.data.cells import Note
from chain_core.messages import load_catalogue
from chain_core.ui.language import get_language, t
from chain_core.ui.shell import escape_markdown

_DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}


def name_role(role: str) -> str:
    """A role as the table shows it."""
    return t(f"data.role_{role}")


def name_kind(kind: str) -> str:
    """What a head of this kind predicts."""
    return t(f"data.kind_{kind}")


def name_format(kind: str) -> str:
    return t(f"data.format_{kind}")


def name_delimiter(delimiter: str | None) -> str:
    """“comma” for a known delimiter, the character itself for another."""
    known = _DELIMITERS.get(delimiter or "")
    return t(f"data.delimiter_{known}") if known else str(delimiter)


def name_encoding(encoding: str) -> str:
    """As people write it."""
    return {"utf-8-sig": "UTF-8 (BOM)", "latin-1": "Latin-1"}.get(encoding, encoding.upper())


def name_sample(name: str) -> str:
    key = f"home.sample_{name}"
    return t(key) if key in load_catalogue(get_language()) else name


def format_notes(notes: Iterable[Note]) -> str:
    """Markdown: each note's sentence a paragraph, the user's words as text."""
    return "\n\n".join(escape_markdown(t(f"notes.{note['code']}", **note["params"])) for note in notes)
