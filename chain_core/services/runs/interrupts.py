"""Ctrl-C as a pause: the first asks the run to leave off at a checkpoint, the second ends at once."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType
from typing import Any


class PauseOnInterrupt:
    """While it is open SIGINT is a pause. Outside the main thread, which alone may say so, all stays as it is."""

    def __init__(self, say: Callable[[], None]) -> None:
        """`say`: called at the first Ctrl-C."""
        self._say, self._word = say, ""
        self._before: Any = None

    def __enter__(self) -> PauseOnInterrupt:
        try:
            self._before = signal.signal(signal.SIGINT, self._heed)
        except ValueError:
            self._before = None
        return self

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def read(self) -> str:
        """What is asked for: "" or "pause"."""
        return self._word

    def _heed(self, number: int, frame: FrameType | None) -> None:
        if self._word:
            raise KeyboardInterrupt
        self._word = "pause"
        self._say()
