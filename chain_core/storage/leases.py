"""Leases: small files that say which process is using a folder. One that its process left behind counts for nothing."""

from __future__ import annotations

import contextlib
import json
import time
import weakref
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

from chain_core.storage.owners import get_identity, is_alive

T = TypeVar("T")
SUFFIX = ".lease"
_FRESH = 60
"""Seconds in which a lease that cannot be read may still be being written."""
_FOREIGN = 2 * 24 * 3600
"""Seconds for which another host's lease is believed."""
_ATTEMPTS = 3


class Lease:
    """Keeps a folder from being evicted until it is released, or until all that it guards is gone."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._guarded = 0

    def release(self) -> None:
        """Give the folder free; nothing where it was."""
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)

    def guard(self, values: Iterable[Any]) -> None:
        """Hold until the last of these values (arrays over the folder's files) is collected, or Python ends."""
        for value in values:
            self._guarded += 1
            weakref.finalize(value, self._drop)
        if not self._guarded:
            self.release()

    def _drop(self) -> None:
        self._guarded -= 1
        if self._guarded <= 0:
            self.release()


def take_lease(folder: Path) -> Lease:
    """A lease on a folder, made where it is missing."""
    path = folder / f"{uuid4().hex[:12]}{SUFFIX}"
    text = json.dumps(get_identity())
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):  # evicted since the line above
            path.write_text(text, encoding="utf-8")
            return Lease(path)


def read_leased(folder: Path, read: Callable[[], T], list_guarded: Callable[[T], Iterable[Any]]) -> T:
    """What `read` reads from a folder that is leased until all that `list_guarded` lists of it is collected.

    `read` may make the folder's files first. It is tried again where the folder was evicted before the lease told.
    """
    for _ in range(_ATTEMPTS - 1):
        with contextlib.suppress(FileNotFoundError):
            return _read_once(folder, read, list_guarded)
    return _read_once(folder, read, list_guarded)


def _read_once(folder: Path, read: Callable[[], T], list_guarded: Callable[[T], Iterable[Any]]) -> T:
    lease = take_lease(folder)
    try:
        value = read()
    except BaseException:
        lease.release()
        raise
    lease.guard(list_guarded(value))
    return value


def is_leased(folder: Path) -> bool:
    """Whether a living process holds the folder. Leases left behind are removed on the way."""
    held = False
    for path in folder.glob(f"*{SUFFIX}"):
        if _is_valid(path):
            held = True
        else:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
    return held


def _is_valid(path: Path) -> bool:
    try:
        age = time.time() - path.stat().st_mtime
        text = path.read_text(encoding="utf-8")
    except OSError:
        return False
    try:
        identity = json.loads(text)
        foreign = identity["host"] != get_identity()["host"]
        return age < _FOREIGN if foreign else is_alive(identity)
    except (ValueError, KeyError, TypeError):
        return age < _FRESH
