"""One process of a team: `python -m tests.services.runs.together FOLDER` does the jobs that FOLDER/jobs.json lists, one
after the other, and leaves what became of them in FOLDER/told-RANK.json.

A job: {"name": the run's folder, "config": …, "resume": bool, "word" and "after": what is asked for after so many
steps, or once a process has computed the features of so many "rows", "fail": what happens to the second process in the
midst of its second step, "home": a workspace of its own}.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from chain_core.config import resolve_config
from chain_core.errors import ChainError
from chain_core.modeling.backbones import features
from chain_core.modeling.team import join_team
from chain_core.services.runs.execute import execute_run
from chain_core.training import loop, pruning, step
from chain_core.training.control import Interruption

TOKENS = 64
"""A batch of features: a few rows, so that there is something to share out."""
LEAST_BATCHES = 6
"""Of an epoch: only epochs of more may leave rows out."""


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    features.TOKENS_PER_BATCH, pruning.LEAST_BATCHES = TOKENS, LEAST_BATCHES
    team, told = join_team(), {}
    for job in json.loads((folder / "jobs.json").read_text()):
        before = told.get(job["name"], {}).get("computed", 0)
        told[job["name"]] = do(job, folder, team)
        told[job["name"]]["computed"] += before
        (folder / f"told-{team.rank}.json").write_text(json.dumps(told))
    team.meet()


def do(job: dict[str, Any], folder: Path, team: Any) -> dict[str, Any]:
    events: list[dict] = []
    computed: list[int] = []
    began = time.perf_counter()

    def read() -> str:
        steps = sum(event["kind"] == "step" for event in events)
        late = sum(computed) >= job["rows"] if "rows" in job else steps >= job.get("after", 0)
        return job["word"] if "word" in job and late else ""

    if "home" in job and team.rank:
        os.environ["CHAIN_HOME"] = str(folder / job["home"])
    config, ended = resolve_config(job["config"]), "done"
    with failing(job.get("fail") if team.rank == 1 else None), counting(computed), noting() as sharded:
        try:
            execute_run(
                config, folder / job["name"], folder=folder, emit=events.append, read_control=read,
                resume=job.get("resume", False), team=team,
            )  # fmt: skip
        except (ChainError, Interruption) as error:
            ended = getattr(error, "code", type(error).__name__)
    os.environ["CHAIN_HOME"] = str(folder / "home")
    return {"ended": ended, "computed": sum(computed), "events": len(events),
            "sharded": bool(sharded), "seconds": time.perf_counter() - began}  # fmt: skip


@contextmanager
def counting(computed: list[int]) -> Any:
    """Adds the rows of each batch of features that this process computes."""
    before = features.run_passes

    def run(*given: Any) -> Any:
        for rows, states in before(*given):
            computed.append(len(rows))
            yield rows, states

    features.run_passes = run
    try:
        yield
    finally:
        features.run_passes = before


@contextmanager
def noting() -> Any:
    """The models whose layers are shared out."""
    before, seen = loop.shard, []
    loop.shard = lambda model, *given: seen.append(model) or before(model, *given)
    try:
        yield seen
    finally:
        loop.shard = before


@contextmanager
def failing(how: str | None) -> Any:
    """Lets the second part of a batch fail that this process takes up."""
    before: Callable = step._add_gradient
    calls = 0

    def add(*given: Any) -> Any:
        nonlocal calls
        calls += 1
        if how and calls == 2:
            if how == "memory":
                raise torch.OutOfMemoryError("out of memory")
            torch.nn.init.constant_(next(p for p in given[0].parameters() if p.requires_grad), float("nan"))
        return before(*given)

    step._add_gradient = add
    try:
        yield
    finally:
        step._add_gradient = before


if __name__ == "__main__":
    main(Path(sys.argv[1]))
