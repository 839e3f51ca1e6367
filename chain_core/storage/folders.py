"""Folders that appear whole: filled under a temporary name, brought to the disk, then renamed.

Each holds `sums.json`, the SHA-256 of its other files, so that one which a disk has damaged is known as such.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from chain_core.storage.drafts import DRAFT

SUMS = "sums.json"


def write_folder(folder: Path, fill: Callable[[Path], None]) -> Path:
    """A new folder, filled by `fill`; a number is added to its name where that is taken. The folder that it became.

    Raises OSError where the disk is full or refuses; then nothing is left.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = folder.parent / f".{folder.name}.{uuid4().hex[:12]}{DRAFT}"
    try:
        draft.mkdir()
        fill(draft)
        sums = {path.name: _hash(path) for path in sorted(draft.iterdir())}
        (draft / SUMS).write_text(json.dumps(sums), encoding="utf-8")
        for path in draft.iterdir():
            _sync(path)
        _sync(draft)
        whole = find_free(folder)
        draft.rename(whole)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    _sync(folder.parent)
    return whole


def find_free(folder: Path) -> Path:
    """The folder's own name, or `NAME-2`, `NAME-3`, …"""
    number, free = 1, folder
    while free.exists():
        number += 1
        free = folder.with_name(f"{folder.name}-{number}")
    return free


def is_whole(folder: Path) -> bool:
    """Whether every file is as it was written."""
    try:
        sums = json.loads((folder / SUMS).read_text(encoding="utf-8"))
        return all(_hash(folder / name) == value for name, value in sums.items())
    except (OSError, ValueError, AttributeError):
        return False


def sweep_draft_folders(parent: Path) -> None:
    """Remove the drafts that a crash left. Only where no process writes."""
    for path in parent.glob(f".*{DRAFT}"):
        shutil.rmtree(path, ignore_errors=True)


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    """A file, or a folder's list of names, to the disk itself."""
    handle = os.open(path, os.O_RDONLY)
    try:
        with suppress(OSError):
            os.fsync(handle)
    finally:
        os.close(handle)
