"""A folder that only one process writes to at a time; the system itself frees it when that process ends, however."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from chain_core.errors import RunError
from chain_core.storage.disk import make_folder

EVERY_SECONDS = 0.05


@contextmanager
def hold_folder(folder: Path, patience: float, check: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold a folder, made where it is missing; wait for at most `patience` seconds for who holds it.

    `check` is called while waiting and may raise. Raises RunError where the wait was in vain, and as `make_folder`.
    Where the system or the disk knows no locks, nothing is held.
    """
    make_folder(folder)
    try:
        import fcntl
    except ImportError:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        end = time.monotonic() + patience
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= end:
                    raise RunError("run_folder_busy", folder=str(folder)) from None
            except OSError:
                break
            check()
            time.sleep(EVERY_SECONDS)
        yield
    finally:
        os.close(handle)
