"""User's text inside Markdown."""

from __future__ import annotations

_SPECIAL = str.maketrans({character: f"\\{character}" for character in "\\`*_{}[]()<>#+-!|~$:"})


def escape_markdown(text: str) -> str:
    """Text that st.markdown, st.error and labels show letter by letter."""
    return text.translate(_SPECIAL)
