"""A sweep: one config at many settings. Frozen values and what follows from them.

grid     every combination of the axes' values
search   a number of trials, each chosen by what the earlier ones scored
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from chain_core.config import Config, resolve_config
from chain_core.errors import ConfigError
from chain_core.services.sweeps.axes import Axis, apply_values, check_axes, count_combinations, shorten_paths

MOST_RUNS = 500
PRUNERS = ("median", "halving", "none")
"""median: worse than half of the finished trials at the same epoch. halving: asynchronous successive halving; only the
best third goes on after epochs 1, 3, 9, …"""
_MOST_NAME = 120


@dataclass(frozen=True)
class Sweep:
    """What is to be tried. `base` is a user's mapping, its heads inferred; relative paths start from `folder`."""

    name: str
    kind: Literal["grid", "search"]
    base: Mapping[str, Any]
    folder: str
    axes: tuple[Axis, ...]
    count: int = 20
    """Trials of a search."""
    seed: int = 0
    """Of a search's choices."""
    pruner: str = "median"
    """Of a search; one of PRUNERS."""
    layers: tuple[int, ...] = ()
    """Backbone layers that some run reads: computed together, by the first one that needs any."""

    def to_json(self) -> dict[str, Any]:
        keys = ("name", "kind", "folder", "count", "seed", "pruner")
        axes = [axis.to_json() for axis in self.axes]
        return {key: getattr(self, key) for key in keys} | {
            "base": dict(self.base), "axes": axes, "layers": list(self.layers),
        }  # fmt: skip

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Sweep:
        axes = tuple(Axis.from_json(axis) for axis in value["axes"])
        return Sweep(**{**value, "axes": axes, "layers": tuple(value["layers"])})

    def count_runs(self) -> int:
        """How many runs it may come to. Raises ConfigError where axes cannot be listed."""
        return count_combinations(self.axes) if self.kind == "grid" else self.count


@dataclass(frozen=True)
class Trial:
    """One setting and what is known of it so far."""

    number: int
    """From 0."""
    params: Mapping[str, Any]
    """Path -> value."""
    state: str
    """waiting, running, finished, pruned or failed."""
    score: float | None = None
    """The best on validation rows, by `train.metric`: higher is better."""
    scores: tuple[tuple[int, float], ...] = ()
    """(epoch, score), in order."""

    @property
    def ended(self) -> bool:
        return self.state not in ("waiting", "running")


def build_config(sweep: Sweep, params: Mapping[str, Any]) -> Config:
    """The config of one trial, named after its settings. Raises ConfigError."""
    mapping = apply_values(sweep.base, params)
    return resolve_config({**mapping, "name": name_trial(sweep.name, params)})


def name_trial(name: str, params: Mapping[str, Any]) -> str:
    """`atis · depth 2, seed 0`."""
    settings = describe_params(params)
    return f"{name[: max(20, _MOST_NAME - 3 - len(settings))]} · {settings}"[:_MOST_NAME]


def describe_params(params: Mapping[str, Any]) -> str:
    """`depth 2, seed 0`."""
    names = shorten_paths(list(params))
    return ", ".join(f"{names[path]} {format_value(value)}" for path, value in params.items())


def format_value(value: Any) -> str:
    """A setting in a table's cell: 0.0012, lora, [1, 0.5]."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"[{', '.join(format_value(entry) for entry in value)}]"
    return str(value)


def check_size(sweep: Sweep) -> int:
    """How many runs it comes to. Raises ConfigError where that is none or too many, or its axes clash."""
    check_axes(sweep.axes)
    count = sweep.count_runs()
    if not 1 <= count <= MOST_RUNS:
        raise ConfigError("sweep_size", count=count, limit=MOST_RUNS)
    return count


def find_best(trials: Sequence[Trial]) -> Trial | None:
    """The one with the highest score, of equal ones the earliest."""
    scored = [trial for trial in trials if trial.score is not None and math.isfinite(trial.score)]
    return max(scored, key=lambda trial: trial.score or 0.0) if scored else None
