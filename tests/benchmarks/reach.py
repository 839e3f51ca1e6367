"""Seconds until a quality is reached, from the race's curves: the bars that the chain is held to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from tests.benchmarks.jobs import Result
from tests.benchmarks.results import group_results

JOINT_BAR = 1 / 10
EACH_BAR = 1 / 20
METRIC = "slots/entity_f1"
CHAINS = ("fast-4", "fast", "balanced", "top-2", "lora-top", "lora-links", "thorough")


@dataclass(frozen=True)
class Reach:
    """One chain against one peer: medians over the seeds that both have."""

    chain: str
    peer: str
    target: float
    """The validation figure that the peer ends with."""
    peer_seconds: float
    chain_seconds: float | None
    """None: at least one seed never got there."""
    bar: float
    reached: int
    seeds: int
    bare_ratio: float | None = None
    """As `ratio`, the imports of both left out."""
    chain_test: float | None = None
    peer_test: float | None = None

    @property
    def ratio(self) -> float | None:
        return None if self.chain_seconds is None else self.chain_seconds / self.peer_seconds

    @property
    def passed(self) -> bool:
        return self.ratio is not None and self.ratio <= self.bar


def find_seconds(curve: Sequence[Mapping[str, Any]], metric: str, target: float) -> float | None:
    """Seconds at the first epoch whose figure is at least the target; None: none is."""
    return next((point["seconds"] for point in curve if point["metrics"].get(metric, -1.0) >= target - 1e-9), None)


def compute_reaches(results: Sequence[Result], metric: str = METRIC, data: str = "atis") -> list[Reach]:
    """Every chain of the race against LoRA, joint and a run a task.

    The target is the median over seeds of what the peer's chosen weights score on validation. Its seconds are those at
    which its own curve first gets there; where each task has a run, those of the runs that teach it other tasks, as a
    whole, are added: a user waits for them all.
    """
    groups = group_results(results, "race", data)
    head = metric.partition("/")[0]
    peers = [("lora-joint", "lora-joint", JOINT_BAR), ("lora-each", f"lora-each.{head}", EACH_BAR)]
    reaches = []
    for peer, run, bar in peers:
        runs = [result for result in groups.get(run, []) if not result.get("error")]
        if not runs:
            continue
        target = median(result["validation"][metric] for result in runs)
        others = [
            [result for result in group if not result.get("error")]
            for name, group in groups.items()
            if peer == "lora-each" and name.startswith("lora-each.") and name != run
        ]
        seconds, bare = (_find_peer_seconds(runs, others, metric, target, imports) for imports in (True, False))
        for chain in CHAINS:
            chains = [result for result in groups.get(chain, []) if not result.get("error")]
            if chains:
                found = [find_seconds(result["curve"], metric, target) for result in chains]
                imports = median(result["seconds"]["imports"] for result in chains)
                middle = median(value for value in found if value is not None) if all(found) else None
                reaches.append(
                    Reach(
                        chain, peer, target, seconds,
                        middle, bar, sum(value is not None for value in found), len(found),
                        None if middle is None else (middle - imports) / bare,
                        median(result["test"][metric] for result in chains),
                        median(result["test"][metric] for result in runs),
                    )
                )  # fmt: skip
    return reaches


def _find_peer_seconds(runs, others, metric: str, target: float, imports: bool) -> float:
    """Until a peer's own curve gets to the target, after its runs of other tasks; with its imports or without."""

    def skip(result: Result) -> float:
        return 0.0 if imports else result["seconds"]["imports"]

    own = [find_seconds(result["curve"], metric, min(target, _best(result, metric))) - skip(result) for result in runs]
    return median(own) + sum(median(result["seconds"]["total"] - skip(result) for result in group) for group in others)


def _best(result: Result, metric: str) -> float:
    return max(point["metrics"][metric] for point in result["curve"])


def format_ratio(ratio: float) -> str:
    """1/12.5 where it is below one, else 1.3 times."""
    return f"1/{1 / ratio:.1f}" if ratio < 1 else f"{ratio:.1f} times"


def format_reaches(reaches: Sequence[Reach]) -> str:
    """Plain lines."""
    lines = []
    for reach in reaches:
        got = (
            f"{reach.chain_seconds:.1f} s, {format_ratio(reach.ratio)} of its time"
            f" ({format_ratio(reach.bare_ratio)} without imports)"
            if reach.chain_seconds is not None and reach.ratio and reach.bare_ratio
            else f"not reached ({reach.reached} of {reach.seeds} seeds)"
        )
        verdict = "passed" if reach.passed else "missed"
        lines.append(
            f"{reach.chain}: validation slot F1 {reach.target:.4f}, where {reach.peer} is after "
            f"{reach.peer_seconds:.1f} s: {got}; bar 1/{1 / reach.bar:.0f} {verdict}"
        )
    return "\n".join(lines) or "No results of the race on ATIS yet."
