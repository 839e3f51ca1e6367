"""What a run is asked to do while it works, and how it leaves off.

Interruption
├── Stopped       ended before it had trained anything
├── Paused        left off at a place from which it goes on exactly
└── Cancelled     given up
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

ReadControl = Callable[[], str]
"""What is asked for now: "" (nothing), "stop", "pause" or "cancel". Cheap enough to ask at every batch."""


class Interruption(Exception):
    """A run leaves off because it was asked to."""


class Stopped(Interruption):
    """The user stopped the run before it had trained anything."""


class Paused(Interruption):
    """The run left off; what it has done so far is in its checkpoint, or soon done again where it has none."""


class Cancelled(Interruption):
    """The user gave the run up."""


def ask_nothing() -> str:
    """The control of a run that nobody interrupts."""
    return ""


def heed(word: str) -> None:
    """Raises Paused or Cancelled where that is asked for; a stop is the caller's to carry out."""
    if word == "pause":
        raise Paused
    if word == "cancel":
        raise Cancelled


def heed_early(word: str) -> None:
    """The same before anything is trained, when a stop leaves nothing to keep: raises Stopped as well."""
    heed(word)
    if word == "stop":
        raise Stopped


EVERY_SECONDS = 0.2
"""Progress is told so often at most."""


def watch(phase: str, tell: Callable[[dict[str, Any]], None], check: Callable[[], None]) -> Callable[[int, int], None]:
    """What a long computation calls with (done, total): it tells them now and then; `check` may raise each time."""
    last = time.perf_counter()

    def progress(done: int, total: int) -> None:
        nonlocal last
        check()
        if time.perf_counter() - last > EVERY_SECONDS or done == total:
            last = time.perf_counter()
            tell({"kind": "progress", "phase": phase, "done": done, "total": total})

    return progress
