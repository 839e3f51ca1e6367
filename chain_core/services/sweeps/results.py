"""What a sweep has found: a row a run, medians over seeds, and the settings that nothing beats. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from chain_core.services.sweeps.axes import SEED
from chain_core.services.sweeps.trials import SweepState


@dataclass(frozen=True)
class Row:
    """One run of a sweep."""

    number: int
    params: Mapping[str, Any]
    state: str
    """Of its trial: waiting, running, finished, pruned or failed."""
    score: float | None
    """The best on validation rows; higher is better."""
    seconds: float | None
    trainable: int | None
    """Parameters."""
    heads: Mapping[str, tuple[str, float | None]]
    """Head -> metric, value: of the report."""
    split: str
    """The rows that `heads` was judged on."""

    @property
    def counts(self) -> bool:
        """Whether it ended with something to compare."""
        return self.state in ("finished", "pruned") and self.score is not None


@dataclass(frozen=True)
class Setting:
    """Runs that differ in their seed only; medians over them."""

    params: Mapping[str, Any]
    score: float
    low: float
    high: float
    """Of the scores."""
    seconds: float | None
    trainable: int | None
    numbers: tuple[int, ...]
    """Of the runs, the best one first."""
    pruned: bool
    """Whether none of them was trained to its end."""


def build_rows(state: SweepState) -> list[Row]:
    """One for each trial so far, in order."""
    rows = []
    for trial in state.trials:
        run = state.runs.get(trial.number)
        told = run.progress if run is not None else {}
        rows.append(build_row(trial.number, trial.params, trial.state, trial.score, told))
    return rows


def build_row(
    number: int, params: Mapping[str, Any], state: str, score: float | None, progress: Mapping[str, Any]
) -> Row:
    """From a run's `progress` (see `curves.compute_progress`)."""
    summary = progress.get("summary") or {}
    heads = {head: (metric, value) for head, (metric, value) in (summary.get("heads") or {}).items()}
    return Row(
        number, params, state, score, progress.get("seconds"), summary.get("trainable"), heads,
        summary.get("split") or "validation",
    )  # fmt: skip


def compute_settings(rows: Iterable[Row]) -> list[Setting]:
    """One for each setting with anything to compare, seeds put together, in the order of their first run."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        if row.counts:
            groups.setdefault(json.dumps(_drop_seed(row.params), default=str), []).append(row)
    return [_join(group) for group in groups.values()]


def _drop_seed(params: Mapping[str, Any]) -> dict[str, Any]:
    return {path: value for path, value in params.items() if path != SEED}


def _join(rows: Sequence[Row]) -> Setting:
    whole = [row for row in rows if row.state == "finished"] or rows
    scores = [row.score for row in whole if row.score is not None]
    seconds = [row.seconds for row in whole if row.seconds is not None]
    trainable = [row.trainable for row in whole if row.trainable is not None]
    ordered = sorted(whole, key=lambda row: -(row.score or 0.0))
    return Setting(
        _drop_seed(rows[0].params), median(scores), min(scores), max(scores),
        median(seconds) if seconds else None, max(trainable) if trainable else None,
        tuple(row.number for row in ordered), whole[0].state == "pruned",
    )  # fmt: skip


def find_best_setting(settings: Sequence[Setting]) -> Setting | None:
    """The highest median, of those trained to their end where there are any; of equal ones the cheaper."""
    whole = [setting for setting in settings if not setting.pruned] or list(settings)
    return max(whole, key=lambda setting: (setting.score, -(setting.trainable or 0)), default=None)


def find_front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Indices of the (cost, quality) points that no other beats in one without losing in the other, by their cost."""
    front: list[int] = []
    for index in sorted(range(len(points)), key=lambda index: (points[index][0], -points[index][1])):
        if not front or points[index][1] > points[front[-1]][1]:
            front.append(index)
    return front
