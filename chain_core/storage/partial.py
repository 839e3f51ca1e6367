"""Files that take long to fill: what is done of them survives a pause or a crash, and who asks for the same goes on.

Until they are whole they lie in a folder of their own beside the entry that they will belong to, where no reader looks.
A mark in it says how much of them has reached the disk; without one they are worth nothing.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from chain_core.errors import RunError
from chain_core.storage.drafts import sync, write_whole
from chain_core.storage.entries import MARK, PARTIAL, touch_entry
from chain_core.storage.leases import is_leased, take_lease
from chain_core.storage.locks import hold_folder

EVERY_SECONDS = 10.0
"""At most so much work is lost to a crash, …"""
SHARE = 0.05
"""… unless marking would take more than this part of the time."""


class Abandon(Exception):
    """Raised in the midst of it: what has been done is of no use."""


class Partial:
    """Files that are being filled in the order of some work, and how many pieces of that work are done."""

    def __init__(self, place: Path, names: Sequence[str], meta: Mapping[str, Any]) -> None:
        self._place, self._names, self._meta = place, names, meta
        self.done = self._read_mark()
        """Pieces; 0: the files are to be made."""
        if not self.done:
            for name in (MARK, *names):  # what a crash left without a mark, or a mark of what is not there any more
                self.path(name).unlink(missing_ok=True)
        self._due = time.monotonic() + EVERY_SECONDS

    def path(self, name: str) -> Path:
        """Where the file that will be called `name` is until then."""
        return self._place / name

    def reach(self, done: int) -> None:
        """So many pieces are done: their numbers are written, though perhaps not on the disk yet."""
        self.done = done
        if time.monotonic() >= self._due:
            self._mark()

    def sync(self) -> None:
        """Return once the files are on the disk."""
        for name in self._names:
            sync(self.path(name))

    def publish(self, folder: Path) -> None:
        """Bring the files, now whole, to their folder."""
        self.sync()
        for name in self._names:
            self.path(name).replace(folder / name)

    def keep(self) -> None:
        """For whoever goes on; nothing is kept of nothing."""
        if self.done:
            self._mark()
        else:
            self.discard()

    def discard(self) -> None:
        """Remove what has not been published."""
        shutil.rmtree(self._place, ignore_errors=True)

    def _mark(self) -> None:
        began = time.monotonic()
        with suppress(OSError):  # a disk without one byte left: the mark before this one holds
            self.sync()
            touch_entry(self._place, self._meta)
            write_whole(self._place / MARK, json.dumps({"done": self.done}))
        ended = time.monotonic()
        self._due = ended + max(EVERY_SECONDS, (ended - began) / SHARE)

    def _read_mark(self) -> int:
        with suppress(OSError, ValueError, KeyError, TypeError):
            done = int(json.loads((self._place / MARK).read_text(encoding="utf-8"))["done"])
            if all(self.path(name).is_file() for name in self._names):
                return done
        return 0


@contextmanager
def open_partial(folder: Path, plan: str, names: Sequence[str], meta: Mapping[str, Any]) -> Iterator[Partial]:
    """Files that will belong to `folder`, as far as the same plan has got with them before.

    `plan` names all that decides what is in them and in which order it is done, besides the folder's own key. What is
    done is kept where this ends in an error, unless that is an Abandon. A second process with the same plan at the
    same time fills files of its own.
    """
    with ExitStack() as stack:
        partial = Partial(_hold(folder, plan, stack), names, meta)
        try:
            yield partial
        except Abandon:
            partial.discard()
            raise
        except BaseException:
            partial.keep()
            raise
        partial.discard()


def _hold(folder: Path, plan: str, stack: ExitStack) -> Path:
    """The plan's first place that no other process holds; held until the stack is closed."""
    number = 0
    while True:
        number += 1
        place = folder.with_name(f"{folder.name}-{plan}-{number}{PARTIAL}")
        if is_leased(place):
            continue
        lease = take_lease(place)
        try:
            stack.enter_context(hold_folder(place, 0))
        except RunError as error:
            lease.release()
            if error.code != "run_folder_busy":
                raise
            continue  # taken since the look
        stack.callback(lease.release)
        return place
