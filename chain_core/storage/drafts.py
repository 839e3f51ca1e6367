"""Files that are written under a temporary name and renamed when they are whole: a crash leaves nothing that is read.

Two processes that write the same file write two drafts; the later one's rename replaces equal bytes.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

DRAFT = ".draft"


class Draft:
    """Files of one folder that appear together, in the order in which they were asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._names: dict[str, Path] = {}
        self._mark = uuid4().hex[:12]

    def path(self, name: str) -> Path:
        """Where to write the file that will be called `name`."""
        return self._names.setdefault(name, self._folder / f".{name}.{self._mark}{DRAFT}")

    def publish(self) -> None:
        """Rename all files; what readers take for the mark of a whole entry must have been asked for last."""
        for path in self._names.values():
            sync(path)
        for name, path in self._names.items():
            path.replace(self._folder / name)
        self._names = {}

    def discard(self) -> None:
        """Remove what was not published."""
        for path in self._names.values():
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)


@contextmanager
def open_draft(folder: Path) -> Iterator[Draft]:
    """A draft that is discarded at the end unless it was published."""
    draft = Draft(folder)
    try:
        yield draft
    finally:
        draft.discard()


def write_whole(path: Path, text: str) -> None:
    """A small text file, all or nothing."""
    with open_draft(path.parent) as draft:
        draft.path(path.name).write_text(text, encoding="utf-8")
        draft.publish()


def sweep_drafts(folder: Path) -> None:
    """Remove the drafts that a crash left. Only for folders that no process holds."""
    for path in folder.glob(f".*{DRAFT}"):
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """To the disk itself, so that a rename, or another machine's reading, cannot get there first."""
    with path.open("rb") as file, contextlib.suppress(OSError):
        os.fsync(file.fileno())
