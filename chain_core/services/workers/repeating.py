"""A background thread that does one small thing again and again, whatever goes wrong with it once."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

log = logging.getLogger(__name__)


class Repeating:
    """`start()` once; `close()` when the server ends."""

    def __init__(self, name: str, seconds: float, act: Callable[[], object], *, at_once: bool = False) -> None:
        """`seconds` from one time to the next; the first comes after as many, or `at_once`."""
        self._name, self._seconds, self._act, self._at_once = name, seconds, act, at_once
        self._closed = threading.Event()

    def start(self) -> None:
        threading.Thread(target=self._work, name=self._name, daemon=True).start()

    def close(self) -> None:
        self._closed.set()

    def _work(self) -> None:
        if self._at_once:
            self._try()
        while not self._closed.wait(self._seconds):
            self._try()

    def _try(self) -> None:
        try:
            self._act()
        except Exception as error:
            # Whatever it is: the next time may do better, and nobody else does it.
            log.warning("%s: %s", self._name, error)
