"""From single results to what a table says: medians and spreads over seeds, and verdicts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from tests.benchmarks.jobs import Result
from tests.benchmarks.score import JOINT, Flat, join_right

MINIMUM = 3
"""Seeds on each side that a verdict needs."""
MEMORY = ("memory_mb", "gpu_memory_mb")
"""Of a result: the machine's and, where it has one, the GPU's."""
VERDICTS = ("better", "worse", "no difference", "too few seeds")


@dataclass(frozen=True)
class Spread:
    """Some seeds' values of one figure."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return median(self.values)

    @property
    def low(self) -> float:
        return min(self.values)

    @property
    def high(self) -> float:
        return max(self.values)


@dataclass(frozen=True)
class Summary:
    """One contender on one data set, over all its seeds."""

    name: str
    seeds: tuple[int, ...]
    test: Mapping[str, Spread] = field(default_factory=dict)
    validation: Mapping[str, Spread] = field(default_factory=dict)
    figures: Mapping[str, Spread] = field(default_factory=dict)
    """total, work (without imports), cpu, features, training, epoch, seconds; memory, gpu_memory, kept, written (MB);
    trainable"""
    curves: tuple[tuple[dict[str, Any], ...], ...] = ()
    """Of each seed, its validation figures against seconds."""
    extrapolated: bool = False
    errors: tuple[str, ...] = ()


def group_results(results: Iterable[Result], experiment: str, data: str) -> dict[str, list[Result]]:
    """Contender -> its results, runs of single tasks (`name.task`) also joined under `name`."""
    groups: dict[str, list[Result]] = {}
    for result in results:
        if (result["job"]["experiment"], result["job"]["data"]) == (experiment, data):
            groups.setdefault(result["job"]["contender"], []).append(result)
    for name in sorted({name.partition(".")[0] for name in groups if "." in name}):
        parts = [group for other, group in groups.items() if other.startswith(f"{name}.")]
        groups[name] = join_runs(parts)
    return groups


def join_runs(parts: Sequence[Sequence[Result]]) -> list[Result]:
    """Runs of one task each, one after the other, as one contender: seconds, parameters and disk add up, memory is the
    largest. Only seeds that all parts have.
    """
    by_seed = [{result["job"]["seed"]: result for result in part if not result.get("error")} for part in parts]
    return [_join([seeds[seed] for seeds in by_seed]) for seed in sorted(set.intersection(*map(set, by_seed)))]


def _join(results: Sequence[Result]) -> Result:
    def add(*path: str) -> float:
        total = 0.0
        for result in results:
            value: Any = result
            for key in path:
                value = value.get(key, 0.0) if isinstance(value, Mapping) else 0.0
            total += value
        return total

    joined: Result = {
        "job": {**results[0]["job"], "contender": results[0]["job"]["contender"].partition(".")[0]},
        "seconds": {key: add("seconds", key) for key in ("imports", "features", "training", "cpu", "total")},
        **{name: max(r[name] for r in results) for name in MEMORY if all(name in r for r in results)},
        "trainable": add("trainable"),
        "disk_mb": {key: add("disk_mb", key) for key in ("kept", "written")},
        "curve": _chain_curves(results),
    }
    joined["seconds"]["epochs"] = [
        sum(epochs) for epochs in zip(*(r["seconds"]["epochs"] for r in results), strict=False)
    ]
    for split in ("validation", "test"):
        # Of a run with one head, "all heads right" is that head's alone.
        joined[split] = {name: value for result in results for name, value in result[split].items() if name != JOINT}
        rights = [result["right"][split] for result in results if split in result.get("right", {})]
        together = join_right(rights) if len(rights) == len(results) else None
        if together is not None:
            joined[split][JOINT] = together
    if any(result.get("extrapolated") for result in results):
        joined["extrapolated"] = {"joined": True}
    return joined


def _chain_curves(results: Sequence[Result]) -> list[dict[str, Any]]:
    """The curves of runs that follow each other: each begins where the one before ended."""
    curve, before = [], 0.0
    for result in results:
        curve += [{**point, "seconds": before + point["seconds"]} for point in result["curve"]]
        before += result["seconds"]["total"]
    return curve


def summarise(name: str, results: Sequence[Result]) -> Summary:
    """Medians and spreads of one contender's results."""
    good = [result for result in results if not result.get("error")]
    errors = tuple(result["error"] for result in results if result.get("error"))
    if not good:
        return Summary(name, (), errors=errors)
    return Summary(
        name,
        tuple(sorted(result["job"]["seed"] for result in good)),
        _spread([result["test"] for result in good]),
        _spread([result["validation"] for result in good]),
        _spread([_list_figures(result) for result in good]),
        tuple(tuple(result["curve"]) for result in good if result["curve"]),
        any(result.get("extrapolated") for result in good),
        errors,
    )


def _spread(parts: Sequence[Flat]) -> dict[str, Spread]:
    names = dict.fromkeys(name for part in parts for name in part)
    return {name: Spread(tuple(part[name] for part in parts if name in part)) for name in names}


def _list_figures(result: Result) -> Flat:
    seconds, disk = result["seconds"], result["disk_mb"]
    figures = {
        "total": seconds["total"],
        "work": seconds["total"] - seconds["imports"],
        "features": seconds.get("features", 0.0),
        "training": seconds["training"],
        "kept": disk["kept"],
        "written": disk["written"],
        "trainable": float(result["trainable"]),
    }
    figures.update({name.removesuffix("_mb"): result[name] for name in MEMORY if name in result})
    if seconds.get("cpu") and not result.get("extrapolated"):
        figures["cpu"] = seconds["cpu"]
    if seconds.get("epochs"):
        figures["epoch"] = median(seconds["epochs"])
    elif "seconds_per_epoch" in (result.get("extrapolated") or {}):
        figures["epoch"] = result["extrapolated"]["seconds_per_epoch"]
    return figures


def judge(base: Spread | None, other: Spread | None) -> str:
    """One of VERDICTS, higher being better: ranges that do not meet, medians further apart than either range is wide.

    With three seeds a side, chance alone parts two equals so in one of 23 comparisons, normal noise given.
    """
    if base is None or other is None or min(len(base.values), len(other.values)) < MINIMUM:
        return "too few seeds"
    apart = abs(other.median - base.median) > max(base.high - base.low, other.high - other.low)
    if apart and other.low > base.high:
        return "better"
    if apart and other.high < base.low:
        return "worse"
    return "no difference"
