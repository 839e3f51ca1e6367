"""A full disk: one list of what it looks like, one sentence for it, and space taken before it is needed."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from chain_core.errors import ResourceError

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""No space left, the user's quota used up, a file larger than the file system takes."""
LITTLE = 50_000_000
"""Bytes below which the database, a run's events and its checkpoint may find no room from one moment to the next."""


def is_full(error: BaseException) -> bool:
    """Whether an error says that the disk takes no more."""
    return isinstance(error, OSError) and error.errno in FULL


def find_lack(folder: Path) -> int | None:
    """How many bytes are free on a folder's disk where that is too little to work with; None where there is room, or
    where the system does not say. A quota of the user's own is not seen."""
    try:
        free = shutil.disk_usage(folder).free
    except OSError:
        return None
    return free if free < LITTLE else None


@contextmanager
def explain_full_disk(folder: Path) -> Iterator[None]:
    """A full disk becomes a ResourceError that names the folder."""
    try:
        yield
    except OSError as error:
        if is_full(error):
            raise ResourceError("disk_full", folder=str(folder)) from error
        raise


def reserve(path: Path) -> None:
    """Give a file all the blocks that its size promises, so that writing to its memory map cannot fail later.

    A sparse file on a full disk ends the process with SIGBUS. Raises OSError where the disk is too small.
    """
    if not hasattr(os, "posix_fallocate") or not path.stat().st_size:
        return
    with path.open("r+b") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
        except OSError as error:
            if is_full(error):
                raise  # else: a file system that cannot promise blocks
