"""What a run's events say: points for its curves, and how far it has come. Pure.

Series are named `train/loss`, `train/intent@3/loss`, `validation/intent@3/accuracy`, `validation/score`,
`learning_rate`, `learning_rate/backbone`, `rows_per_second`, `gradient/links`, `memory/process`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from chain_core.config import Config

Point = dict[str, Any]


def make_finite(value: Any) -> Any:
    """The same JSON value with None for NaN and infinity, which no database's JSON holds."""
    if isinstance(value, Mapping):
        return {str(key): make_finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [make_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def compute_points(event: Mapping[str, Any]) -> Iterator[Point]:
    """The points of one `step` or `epoch` event: series, step, epoch, seconds, value; none of any other."""
    base = {"step": int(event.get("step") or 0), "epoch": event.get("epoch"), "seconds": event.get("seconds")}
    for series, value in _read_values(event):
        if isinstance(value, int | float):
            yield {**base, "series": series, "value": float(value)}


def _read_values(event: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    if event.get("kind") == "step":
        yield "train/loss", event.get("loss")
        yield "learning_rate", event.get("learning_rate")
        yield "rows_per_second", event.get("rows_per_second")
        for key, value in (event.get("losses") or {}).items():
            yield f"train/{key}/loss", value
        rates = event.get("learning_rates") or {}
        groups = {"learning_rate": rates if len(rates) > 1 else {}}
        for group, values in {**groups, "gradient": event.get("gradient"), "memory": event.get("memory")}.items():
            for part, value in (values or {}).items():
                yield f"{group}/{part}", value
    elif event.get("kind") == "epoch":
        if event.get("objective", "tasks") == "tasks":
            yield "validation/score", event.get("score")
        for key, metrics in (event.get("validation") or {}).items():
            for metric, value in metrics.items():
                yield f"validation/{key}/{metric}", value


def start_progress(config: Config) -> dict[str, Any]:
    """The progress of a run that has told nothing yet."""
    return {"epochs": sum(stage.epochs for stage in config.get_stages())}


def compute_progress(progress: Mapping[str, Any], events: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """`progress` moved on by further events.

    Keys, each there once known: phase, phase_started (seconds), done and total (of the phase), seconds (of
    the latest event), epoch, epochs, stage (its name, where the run lists stages), rows_per_second, score (of the
    best epoch of the latest stage with tasks), reason and summary (of the end).
    """
    now = dict(progress)
    for event in events:
        now["seconds"] = event.get("seconds", now.get("seconds"))
        step = _STEPS.get(str(event.get("kind")))
        if step:
            step(now, event)
    return now


def _enter_phase(now: dict[str, Any], event: Mapping[str, Any]) -> None:
    now.update(phase=event.get("phase"), phase_started=event.get("seconds"), done=0, total=None)


def _move(now: dict[str, Any], event: Mapping[str, Any]) -> None:
    now.update(done=event.get("done"), total=event.get("total"))


def _enter_stage(now: dict[str, Any], event: Mapping[str, Any]) -> None:
    now.update(stage=event.get("name"))


def _step(now: dict[str, Any], event: Mapping[str, Any]) -> None:
    now.update(epoch=event.get("epoch"), rows_per_second=event.get("rows_per_second"))
    if now.get("epochs"):
        now.update(done=event.get("epoch"), total=now["epochs"])


def _end_epoch(now: dict[str, Any], event: Mapping[str, Any]) -> None:
    now.update(epoch=event.get("epoch"), epochs=event.get("epochs") or now.get("epochs"))
    now.update(done=now["epoch"], total=now["epochs"])
    if event.get("objective", "tasks") == "tasks" and (event.get("best") or now.get("score") is None):
        now["score"] = event.get("score")


def _end(now: dict[str, Any], event: Mapping[str, Any]) -> None:
    now.update(phase="done", reason=event.get("reason"), summary=compute_summary(event.get("report") or {}))


_STEPS = {
    "phase": _enter_phase,
    "progress": _move,
    "stage": _enter_stage,
    "step": _step,
    "epoch": _end_epoch,
    "done": _end,
}


def compute_summary(report: Mapping[str, Any]) -> dict[str, Any]:
    """Each head's main figure: {"split": "test", "heads": {"intent": ["accuracy", 0.97]}}; the split is
    validation where there are no test rows. `trainable`: parameters, where the report tells them."""
    split = "test" if report.get("test") else "validation"
    heads = {
        head: list(next(iter(metrics.items())))
        for head, metrics in (report.get(split) or {}).items()
        if head != "joint" and metrics
    }
    trainable = (report.get("parameters") or {}).get("trainable")
    return {"split": split, "heads": heads, **({} if trainable is None else {"trainable": trainable})}


def compute_time_left(progress: Mapping[str, Any]) -> float | None:
    """Seconds until the phase ends, if it goes on as it went; None while that cannot be told."""
    done, total = progress.get("done") or 0, progress.get("total") or 0
    spent = (progress.get("seconds") or 0) - (progress.get("phase_started") or 0)
    if not total or done <= 0 or spent <= 0:
        return None
    return max(0.0, spent * (total - done) / done)
