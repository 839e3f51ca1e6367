"""A run's curves for other programs to show: TensorBoard files beside it, Weights & Biases, MLflow.

They come along if they can: one that is not installed, or fails, is told in a note and left behind.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from chain_core.config import Config
from chain_core.data.cells import build_note
from chain_core.services.store.curves import compute_points
from chain_core.training.assemble import Emit

PROJECT = "chain-workbench"
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
        for name in dict.fromkeys(config.train.trackers):
            tracker = self._try(name, partial(open_tracker, name, config, out, step))
            if tracker is not None:
                self._open[name] = tracker
        self._each(lambda tracker, name: tracker.store_init_configuration(flatten(config.model_dump(mode="json"))))

    def tell(self, event: dict[str, Any]) -> None:
        """Pass an event on, and its points to each tracker."""
        self._tell(event)
        if not self._open:
            return
        points = list(compute_points(event))
        if points:
            step = points[0]["step"]
            values = {point["series"]: point["value"] for point in points}
            self._each(lambda tracker, name: tracker.log(name_values(name, values), step=step))

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
    """One of Accelerate's trackers, begun. Raises whatever its library raises."""
    from accelerate import PartialState
    from accelerate.tracking import MLflowTracker, TensorBoardTracker, WandBTracker

    PartialState()  # its trackers log through it
    tracker: Any
    if name == "tensorboard":
        # Points beyond the checkpoint that a run goes on from were taken back.
        tracker = TensorBoardTracker("tensorboard", out, purge_step=step + 1 if step else None)
    elif name == "wandb":
        key = os.environ.get("WANDB_API_KEY")
        mode = os.environ.get("WANDB_MODE") or ("online" if key else "offline")
        tracker = WandBTracker(
            os.environ.get("WANDB_PROJECT", PROJECT), dir=str(out), mode=mode, name=config.name, id=out.name,
            resume="allow",
        )  # fmt: skip
    else:
        import mlflow

        if "MLFLOW_TRACKING_URI" not in os.environ:
            mlflow.set_tracking_uri(f"sqlite:///{out.resolve() / 'mlflow.db'}")
        for variable, value in (("MLFLOW_HTTP_REQUEST_TIMEOUT", "5"), ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")):
            os.environ.setdefault(variable, value)  # a server that is away must not hold up the run
        tracker = MLflowTracker(PROJECT, run_name=config.name)
    if getattr(tracker, "start", None):
        tracker.start()
    return tracker


def name_values(tracker: str, values: Mapping[str, float]) -> dict[str, float]:
    """The series by names that the tracker takes: MLflow knows no @."""
    if tracker != "mlflow":
        return dict(values)
    return {re.sub(r"[^\w\-. /]", "_", series.replace("@", ".")): value for series, value in values.items()}


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
