"""What a run tells goes to the store, and what is asked of the run comes back, in a thread of its own.

Training never waits for the store: while that is away, events wait in their order, and go there once it is back.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from chain_core.errors import ChainError, RunError
from chain_core.services.runs.event_log import read_told
from chain_core.services.store.store import Run, Store

EVERY_SECONDS = 0.2
"""How often the store is asked what to do, and told what is not urgent."""
BEAT_SECONDS = 5.0
MOST_EVENTS = 500
"""In one transaction."""
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 3.0
"""Seconds between two tries while the store is away."""
_AT_ONCE = ("phase", "stage", "epoch", "note", "done")
LOST = ("run_unknown", "run_lost")
"""The run is gone, or another worker's: nobody wants to hear more."""
T = TypeVar("T")
log = logging.getLogger("worker")


def insist(call: Callable[[], T], is_vain: Callable[[], bool] = lambda: False) -> T:
    """What a call of the store gives, however long the store is away.

    Raises RunError where the run is gone or another worker's, and what was in the way once `is_vain`.
    """
    pause = FIRST_PAUSE
    while True:
        try:
            return call()
        except ChainError as error:
            if error.code in LOST or is_vain():
                raise
            log.warning("the store does not answer: %s", error)
        time.sleep(pause)
        pause = min(LONGEST_PAUSE, 1.5 * pause)


class Recorder:
    """One run's line to the store, open until `close`."""

    def __init__(
        self, store: Store, run: Run, is_leaving: Callable[[], bool] = lambda: False,
        is_vain: Callable[[], bool] = lambda: False,
    ) -> None:  # fmt: skip
        """`is_leaving`: whether the worker is to put the run down; `is_vain`: whether to give up a store that is away
        (only at the end)."""
        assert run.claim
        self._store, self._run_id, self._claim, self._folder = store, run.id, run.claim, run.path
        self._is_leaving, self._is_vain = is_leaving, is_vain
        self._waiting: list[dict[str, Any]] = []
        self._back: int | None = None
        """Told so many events before it was taken up again: the store is to forget what it heard beyond."""
        self._next: int | None = None
        self._control, self._lost, self._beaten = "", False, time.monotonic()
        self._lock, self._wake, self._closed = threading.Lock(), threading.Event(), threading.Event()
        self._stepped = False
        self.reason: str | None = None
        """Of the run's end, once it has said so."""
        self._thread = threading.Thread(target=self._work, name="recorder", daemon=True)
        self._thread.start()

    def emit(self, event: dict[str, Any]) -> None:
        """Take one event, written soon."""
        with self._lock:
            if event["kind"] == "resumed":
                self._waiting, self._back = [], event["events"]
            self._waiting.append(event)
        if event["kind"] == "done":
            self.reason = event.get("reason")
        if event["kind"] in _AT_ONCE or (event["kind"] == "step" and not self._stepped):
            self._stepped = self._stepped or event["kind"] == "step"  # the first one is waited for
            self._wake.set()

    def read_control(self) -> str:
        """What the run is to do: "" (go on), "stop", "pause" or "cancel". As cheap as can be."""
        if self._lost:
            return "cancel"
        return "pause" if not self._control and self._is_leaving() else self._control

    def close(self) -> None:
        """Write what still waits, however long that takes. Raises RunError where nobody wants it any more."""
        self._closed.set()
        self._wake.set()
        self._thread.join()
        while self._waiting and not self._lost:
            insist(self._deliver, self._is_vain)
        if self._lost:
            raise RunError("run_lost", run=self._run_id)

    def _work(self) -> None:
        pause = EVERY_SECONDS
        while not self._closed.is_set() and not self._lost:
            self._wake.wait(pause)
            self._wake.clear()
            try:
                self._control = self._store.read_control(self._run_id, self._claim)
                self._deliver()
                if time.monotonic() - self._beaten >= BEAT_SECONDS:
                    self._beaten = time.monotonic()
                    self._store.beat(self._run_id, self._claim)
                pause = EVERY_SECONDS
            except Exception as error:
                # Whatever it is, it is not the training's fault; what cannot be told in the end is said by `close`.
                if isinstance(error, ChainError) and error.code in LOST:
                    self._lost = True
                    return
                log.warning("the store does not answer: %s", error)
                self._closed.wait(pause)
                pause = min(LONGEST_PAUSE, 1.5 * pause)

    def _deliver(self) -> None:
        """Bring the store up to date, as far as one transaction goes."""
        with self._lock:
            back, waiting = self._back, self._waiting
            batch = waiting[:MOST_EVENTS]
        if not batch:
            return
        if self._next is None or back is not None:
            self._next = self._go_back(back)
            with self._lock:
                if self._waiting is waiting:  # else: taken back once more meanwhile
                    self._back = None
        following = self._store.append_events(self._run_id, batch, self._next, self._claim)
        with self._lock:
            if self._waiting is waiting:
                del waiting[: len(batch)]
                self._next = following

    def _go_back(self, events: int | None) -> int:
        """Take back what was told beyond the first `events`, and add what of them the store has not heard; the number
        of the next event."""
        if events is None:
            return self._store.append_events(self._run_id, [], claim=self._claim)
        following = self._store.truncate_events(self._run_id, self._claim, events)
        if following <= events:
            missed = read_told(self._folder, following - 1, events)
            following = self._store.append_events(self._run_id, missed, following, self._claim)
        return following
