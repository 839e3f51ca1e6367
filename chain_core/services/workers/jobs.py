"""What a worker does with one command, whichever process it is in.

Commands and answers are JSON mappings:
    {"do": "run", "run": ID, "claim": TOKEN}      -> {"state": "finished" | "stopped" | "failed" | … | "lost"}
    {"do": "predict", "run": ID, "rows": [...]}   -> {"rows": [...]} or {"error": {...}}
"""

from __future__ import annotations

import contextlib
import importlib
import os
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from chain_core.errors import ChainError, RunError
from chain_core.paths import get_home
from chain_core.services.runs.checkpoint_names import prune_checkpoints
from chain_core.services.store.records import REPORT
from chain_core.services.store.store import Run, Store
from chain_core.services.workers.recorder import LOST, Recorder, insist
from chain_core.storage.disk import is_full
from chain_core.storage.owners import get_identity
from chain_core.training.control import Cancelled, Interruption

EXECUTOR = "chain_core.services.runs.execute:execute_run"
PREDICTOR = "chain_core.services.runs.predictor:load_predictor"
KEPT_PREDICTORS = 2
_MOST_TRACEBACK = 20_000


def find_function(variable: str, default: str) -> Callable[..., Any]:
    """The function that an environment variable names as module:function, or the default one."""
    module, _, name = (os.environ.get(variable) or default).partition(":")
    return getattr(importlib.import_module(module), name)


def perform_run(
    store: Store,
    run_id: str,
    execute: Callable[..., Any],
    claim: str | None,
    is_leaving: Callable[[], bool] = lambda: False,
    is_vain: Callable[[], bool] = lambda: False,
) -> str:
    """Execute one run and record how it ended; how that was, or `lost` where the run is not this claim's.

    Never raises for what the run does. `is_leaving`: whether to put the run down for another worker; `is_vain`:
    whether a store that is away is not worth waiting for, and what it said is raised.
    """
    if claim is None or not insist(lambda: store.take_run(run_id, claim, get_identity()), is_vain):
        return "lost"
    error: dict[str, Any] | None = None
    run = insist(lambda: store.get_run(run_id), is_vain)
    recorder = Recorder(store, run, is_leaving, is_vain)
    try:
        run.path.mkdir(parents=True, exist_ok=True)
        execute(
            run.load_config(),
            run.path,
            folder=Path(run.folder),
            emit=recorder.emit,
            read_control=recorder.read_control,
            resume=run.attempt > 1,
            notes=[{"code": death["code"], "params": death["params"]} for death in run.deaths],
            **_find_layers(store, run),
        )
        state = "stopped" if recorder.reason == "stopped" else "finished"
    except Interruption as caught:
        state = "cancelled" if isinstance(caught, Cancelled) else "paused"
    except Exception as caught:
        state, error = "failed", describe_error(caught)
    try:
        recorder.close()
        ended = insist(lambda: store.finish_run(run_id, state, error, claim), is_vain)
    except RunError as refusal:
        if refusal.code not in LOST:
            raise
        return "lost"
    if ended and state == "finished":  # not before: whoever took the run up again would train all of it again
        prune_checkpoints(run.path, 0)
    return state


def _find_layers(store: Store, run: Run) -> dict[str, Any]:
    """Of a sweep's run: the backbone layers that some run of the sweep reads, so that one pass serves all."""
    layers: list[int] = []
    if run.group_id is not None:
        with contextlib.suppress(ChainError):  # it saves time and nothing else
            layers = store.get_group(run.group_id).spec["sweep"]["layers"]
    return {"layers": layers} if layers else {}


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

    def __init__(self, store: Store, is_vain: Callable[[], bool] = lambda: False) -> None:
        self._store, self._is_vain = store, is_vain
        self._predictors: dict[tuple[str, int | None], Any] = {}
        """Run and the moment of its report, which each attempt writes last -> what answers for it."""
        self._leaving = False

    def leave(self) -> None:
        """Put down the run that goes on, if any, at a checkpoint: another worker will go on from there."""
        self._leaving = True

    def answer(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """One command's answer. Raises RunError where the store cannot even take a run's end."""
        if command["do"] == "run":
            execute = find_function("CHAIN_EXECUTOR", EXECUTOR)
            run_id, claim = command["run"], command.get("claim")
            return {"state": perform_run(self._store, run_id, execute, claim, lambda: self._leaving, self._is_vain)}
        try:
            return {"rows": list(self._get_predictor(command["run"]).predict(command["rows"]))}
        except Exception as error:
            return {"error": describe_error(error)}

    def _get_predictor(self, run_id: str) -> Any:
        path = self._store.get_run(run_id).path
        report = path / REPORT
        key = run_id, report.stat().st_mtime_ns if report.is_file() else None
        predictor = self._predictors.pop(key, None)
        if predictor is None:
            predictor = find_function("CHAIN_PREDICTOR", PREDICTOR)(path)
        self._predictors[key] = predictor  # the latest stands last
        while len(self._predictors) > KEPT_PREDICTORS:
            self._predictors.pop(next(iter(self._predictors)))
        return predictor
