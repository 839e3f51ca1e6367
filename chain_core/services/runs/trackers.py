"""A run's curves and final figures for other programs to show: TensorBoard files beside it, Weights & Biases, MLflow.

They come along if they can: one that is not installed, or fails, is told in a note and left behind. Nothing leaves this
machine unless the user's environment names a server or an account.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

from chain_core.config import Config
from chain_core.data.cells import build_note
from chain_core.services.store.curves import compute_points
from chain_core.storage.drafts import write_whole
from chain_core.training.assemble import Emit

T = TypeVar("T")
PROJECT = "chain-workbench"
IDS = "trackers.json"
"""In a run's folder: tracker -> what it calls the run, by which a run that goes on finds its curves again."""
SILENT = {
    "mlflow": {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",  # a server that is away must not hold up the run
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    },
    "wandb": {"WANDB_ERROR_REPORTING": "false", "WANDB_SILENT": "true"},
}
"""Of the environment, where the user has not said otherwise."""
_MOST_REASON = 300


@contextmanager
def follow(config: Config, out: Path, tell: Emit, step: int = 0) -> Iterator[Emit]:
    """What takes an event to `tell` and its points to the trackers that the config names; they end with the block.

    `step`: the one that the run goes on after.
    """
    trackers = Trackers(config, out, tell, step)
    try:
        yield trackers.tell
    finally:
        trackers.close()


class Trackers:
    """Those of one run that work so far."""

    def __init__(self, config: Config, out: Path, tell: Emit, step: int) -> None:
        self._tell = tell
        self._open: dict[str, Any] = {}
        self._step = step
        known = read_ids(out) if step else {}
        for name in dict.fromkeys(config.train.trackers):
            tracker = self._try(name, partial(open_tracker, name, config, out, step))
            if tracker is not None:
                self._open[name] = tracker
        values = flatten(config.model_dump(mode="json"))
        for opened in self._open.keys() - known:  # MLflow refuses to hear it twice
            self._try(opened, partial(self._open[opened].store_init_configuration, name_values(opened, values)))

    def tell(self, event: dict[str, Any]) -> None:
        """Pass an event on, and its points to each tracker. Before the last one they get the final figures and end, so
        that whatever they do, it stays the run's last word."""
        if event["kind"] == "done":
            self._log(compute_finals(event["report"]))
            self.close()
        self._tell(event)
        if self._open and (values := {point["series"]: point["value"] for point in compute_points(event)}):
            self._step = event["step"]
            self._log(values)

    def _log(self, values: Mapping[str, float]) -> None:
        self._each(lambda tracker, name: tracker.log(name_values(name, values), step=self._step))

    def close(self) -> None:
        self._each(lambda tracker, name: tracker.finish())
        self._open = {}

    def _each(self, action: Callable[[Any, str], Any]) -> None:
        for name, tracker in list(self._open.items()):
            self._try(name, partial(action, tracker, name))

    def _try(self, name: str, action: Callable[[], Any]) -> Any:
        """The action's value; a failure is told, and the tracker left behind."""
        try:
            return action()
        except ModuleNotFoundError:
            note = build_note("tracker_missing", tracker=name)
        except BaseException as error:  # libraries of others: some even exit
            if isinstance(error, KeyboardInterrupt | GeneratorExit):
                raise
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:_MOST_REASON]
            note = build_note("tracker_failed", tracker=name, reason=reason)
        self._open.pop(name, None)
        self._tell({"kind": "note", **note})
        return None


def open_tracker(name: str, config: Config, out: Path, step: int) -> Any:
    """One of Accelerate's trackers, begun, or gone on with after a step. Raises whatever its library raises."""
    from accelerate import PartialState
    from accelerate.tracking import MLflowTracker, TensorBoardTracker, WandBTracker

    PartialState()  # its trackers log through it
    for variable, value in SILENT.get(name, {}).items():
        os.environ.setdefault(variable, value)
    known = read_ids(out) if step else {}
    tracker: Any
    if name == "tensorboard":
        # Points beyond the checkpoint that a run goes on from were taken back.
        tracker = TensorBoardTracker("tensorboard", out, purge_step=step + 1)
        tracker.start()
        return tracker
    if name == "wandb":
        key = os.environ.get("WANDB_API_KEY")
        mode = os.environ.get("WANDB_MODE") or ("online" if key else "offline")
        tracker = WandBTracker(
            os.environ.get("WANDB_PROJECT", PROJECT), dir=str(out), mode=mode, name=config.name,
            id=known.get(name) or uuid4().hex[:12], resume="allow",
        )  # fmt: skip
        tracker.start()
        _keep_id(out, name, tracker.run.id)
        return tracker
    import mlflow

    if "MLFLOW_TRACKING_URI" not in os.environ:
        mlflow.set_tracking_uri(f"sqlite:///{out.resolve() / 'mlflow.db'}")
    tracker = MLflowTracker(PROJECT, run_id=known.get(name), run_name=config.name)
    tracker.start()
    _keep_id(out, name, tracker.active_run.info.run_id)
    return tracker


def read_ids(out: Path) -> dict[str, str]:
    """What the trackers called the run when they were opened last; of none where nothing is known."""
    with suppress(OSError, ValueError):
        return dict(json.loads((out / IDS).read_text(encoding="utf-8")))
    return {}


def _keep_id(out: Path, name: str, value: str) -> None:
    write_whole(out / IDS, json.dumps({**read_ids(out), name: value}))


def compute_finals(report: Mapping[str, Any]) -> dict[str, float]:
    """`final/test/intent/accuracy` -> 0.97: the report's figures of each head."""
    return {
        f"final/{split}/{head}/{metric}": value
        for split in ("validation", "test")
        for head, metrics in (report.get(split) or {}).items()
        for metric, value in metrics.items()
        if isinstance(value, int | float)
    }


def name_values(tracker: str, values: Mapping[str, T]) -> dict[str, T]:
    """The values by names that the tracker takes: MLflow knows no @."""
    if tracker != "mlflow":
        return dict(values)
    return {re.sub(r"[^\w\-. /]", "_", name.replace("@", ".")): value for name, value in values.items()}


def flatten(mapping: Mapping[str, Any], base: str = "") -> dict[str, str | float]:
    """`train.epochs` -> 10: what a tracker keeps of a config; lists as text, what is null left out."""
    flat: dict[str, str | float] = {}
    for key, value in mapping.items():
        path = f"{base}{key}"
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{path}.")
        elif isinstance(value, bool) or (isinstance(value, Sequence) and not isinstance(value, str)):
            flat[path] = str(value)
        elif value is not None:
            flat[path] = value
    return flat
