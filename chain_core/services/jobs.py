"""What a worker does with one command, whichever process it is in.

Commands and answers are JSON mappings:
    {"do": "run", "run": ID, "claim": TOKEN}      -> {"state": "finished" | "stopped" | "failed" | … | "lost"}
    {"do": "predict", "run": ID, "rows": [...]}   -> {"rows": [...]} or {"error": {...}}
"""

from __future__ import annotations

import contextlib
import importlib
import os
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from chain_core.errors import ChainError, RunError
from chain_core.paths import get_home
from chain_core.services.event_log import read_told
from chain_core.services.store import Run, Store
from chain_core.storage.disk import is_full
from chain_core.storage.owners import get_identity
from chain_core.training.control import Cancelled, Interruption

EXECUTOR = "chain_core.services.execute:execute_run"
PREDICTOR = "chain_core.services.predictor:load_predictor"
EVERY_SECONDS = 0.2
KEPT_PREDICTORS = 2
_AT_ONCE = ("phase", "stage", "epoch", "note", "done")
_MOST_TRACEBACK = 20_000


def find_function(variable: str, default: str) -> Callable[..., Any]:
    """The function that an environment variable names as module:function, or the default one."""
    module, _, name = (os.environ.get(variable) or default).partition(":")
    return getattr(importlib.import_module(module), name)


class Recorder:
    """Takes a run's events to the store in small batches and brings back what is asked of the run."""

    def __init__(self, store: Store, run: Run) -> None:
        self._store, self._run_id, self._claim, self._folder = store, run.id, run.claim, run.path
        self._waiting: list[dict[str, Any]] = []
        self._next = store.append_events(run.id, [], claim=run.claim)
        self._sent = self._asked = float("-inf")
        self._control = ""
        self.reason: str | None = None
        """Of the run's end, once it has said so."""

    def emit(self, event: dict[str, Any]) -> None:
        """Take one event; written at once or within the next batch."""
        if event["kind"] == "resumed":
            self._go_back(event["events"])
        self._waiting.append(event)
        if event["kind"] == "done":
            self.reason = event.get("reason")
        self._send_if_due(event["kind"] in _AT_ONCE)

    def read_control(self) -> str:
        """What the run is to do: "" (go on), "stop", "pause" or "cancel". Cheap enough to ask at every step."""
        self._send_if_due(False)
        now = time.monotonic()
        if self._control != "cancel" and now - self._asked >= EVERY_SECONDS:
            self._asked = now
            self._control = self._store.read_control(self._run_id, self._claim)
        return self._control

    def flush(self) -> None:
        """Write what still waits. Raises RunError where the store does not take it."""
        if self._waiting:
            self._next = self._store.append_events(self._run_id, self._waiting, self._next, self._claim)
            self._waiting = []

    def _go_back(self, events: int) -> None:
        """Take back what was told beyond the first `events`, and add what of them the store has not heard."""
        self._waiting = []
        self._next = self._store.truncate_events(self._run_id, self._claim, events)
        if self._next <= events:
            self._waiting = read_told(self._folder, self._next - 1, events)
            self.flush()

    def _send_if_due(self, at_once: bool) -> None:
        now = time.monotonic()
        if not self._waiting or (not at_once and now - self._sent < EVERY_SECONDS):
            return
        self._sent = now
        try:
            self.flush()
        except RunError as error:
            if error.code in ("run_unknown", "run_lost"):  # gone, or another worker's: nobody wants the rest
                self._control, self._waiting = "cancel", []
            # A store that is busy or away for a moment gets the same batch again with the next event.


def perform_run(store: Store, run_id: str, execute: Callable[..., Any], claim: str | None) -> str:
    """Execute one run and record how it ended; how that was, or `lost` where the run is not this claim's.

    Never raises for what the run does.
    """
    if claim is None or not store.take_run(run_id, claim, get_identity()):
        return "lost"
    error: dict[str, Any] | None = None
    run = store.get_run(run_id)
    recorder = None
    try:
        recorder = Recorder(store, run)
        run.path.mkdir(parents=True, exist_ok=True)
        execute(
            run.load_config(),
            run.path,
            folder=Path(run.folder),
            emit=recorder.emit,
            read_control=recorder.read_control,
            resume=run.attempt > 1,
        )
        recorder.flush()
        state = "stopped" if recorder.reason == "stopped" else "finished"
    except Interruption as caught:
        state = "cancelled" if isinstance(caught, Cancelled) else "paused"
    except Exception as caught:
        state, error = "failed", describe_error(caught)
    try:
        if recorder is not None:
            with contextlib.suppress(ChainError):  # what it told last; the end matters more
                recorder.flush()
        store.finish_run(run_id, state, error, claim)
    except RunError as refusal:
        if refusal.code not in ("run_lost", "run_unknown"):
            raise
        return "lost"
    return state


def describe_error(error: BaseException) -> dict[str, Any]:
    """What a run keeps of its error: {"code", "params"}, and "traceback" where it is no plain sentence."""
    if isinstance(error, ChainError):
        return {"code": error.code, "params": {key: _plain(value) for key, value in error.params.items()}}
    text = "".join(traceback.format_exception(error))[-_MOST_TRACEBACK:]
    if is_full(error):
        code, params = "disk_full", {"folder": str(get_home())}
    elif isinstance(error, MemoryError) or "not enough memory" in str(error):
        code, params = "memory_full", {}
    else:
        code, params = "crash", {"reason": f"{type(error).__name__}: {error}"[:500]}
    return {"code": code, "params": params, "traceback": text}


def _plain(value: object) -> Any:
    return value if isinstance(value, bool | int | float | str | None) else str(value)


class Jobs:
    """Answers commands, and keeps the latest predictors loaded."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._predictors: dict[str, Any] = {}

    def answer(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """One command's answer. Raises RunError where the store cannot even take a run's end."""
        if command["do"] == "run":
            execute = find_function("CHAIN_EXECUTOR", EXECUTOR)
            return {"state": perform_run(self._store, command["run"], execute, command.get("claim"))}
        try:
            return {"rows": list(self._get_predictor(command["run"]).predict(command["rows"]))}
        except Exception as error:
            return {"error": describe_error(error)}

    def _get_predictor(self, run_id: str) -> Any:
        predictor = self._predictors.pop(run_id, None)
        if predictor is None:
            load = find_function("CHAIN_PREDICTOR", PREDICTOR)
            predictor = load(self._store.get_run(run_id).path)
        self._predictors[run_id] = predictor  # the latest stands last
        while len(self._predictors) > KEPT_PREDICTORS:
            self._predictors.pop(next(iter(self._predictors)))
        return predictor
