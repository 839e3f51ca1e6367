"""A disk that takes no more, or nothing from us: what that looks like, a sentence for it, and space taken before it is
needed."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from chain_core.errors import ResourceError, RunError

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


@contextmanager
def explain_refusal(path: Path) -> Iterator[None]:
    """Whatever keeps a file or folder from being written becomes an error that names it: a ResourceError where the disk
    is full, else a RunError."""
    try:
        with explain_full_disk(path):
            yield
    except OSError as error:
        raise RunError("path_refused", path=str(path), reason=error.strerror or str(error)) from error


def make_folder(folder: Path) -> None:
    """A folder to write to, made where it is missing. Raises RunError, or ResourceError, where the system refuses."""
    with explain_refusal(folder):
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def make_parent(path: Path) -> None:
    """The folder of a file to be written, as `make_folder`. Raises RunError, too, where the file itself is a folder."""
    make_folder(path.parent)
    with explain_refusal(path):
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))


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
