"""Words that may stand for each other, from a file of the user's."""

from __future__ import annotations

import os
from pathlib import Path

from chain_core.errors import DataError


def read_synonyms(path: Path) -> dict[str, tuple[str, ...]]:
    """Word in small letters -> what may stand for it, from a file of comma-separated groups, one a line, # a remark.

    Raises DataError for a file that is missing, cannot be read, or has no group of two.
    """
    if not os.path.isfile(path):
        raise DataError("synonyms_missing", path="augment.synonyms", file=str(path))
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "UTF-8"
        raise DataError("synonyms_unreadable", path="augment.synonyms", file=str(path), reason=reason) from None
    groups: dict[str, list[str]] = {}
    for line in lines:
        words = [" ".join(word.split()) for word in line.replace("\uff0c", ",").split(",") if word.strip()]
        for word in words if not line.lstrip().startswith("#") else ():
            others = [other for other in words if other.lower() != word.lower()]
            groups.setdefault(word.lower(), []).extend(others)
    found = {word: tuple(dict.fromkeys(others)) for word, others in groups.items() if others}
    if not found:
        raise DataError("synonyms_empty", path="augment.synonyms", file=str(path))
    return found
