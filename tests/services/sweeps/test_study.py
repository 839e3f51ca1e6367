"""What a search tries next and which runs it ends early."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from chain_core.services.sweeps.axes import parse_axis
from chain_core.services.sweeps.study import find_losers, suggest
from chain_core.services.sweeps.sweep import Sweep, Trial, find_best

AXES = (
    parse_axis("chain.depth=0..6"), parse_axis("train.learning_rate=1e-5..1e-1:log"),
    parse_axis("backbone.tuning=frozen,lora"),
)  # fmt: skip
SWEEP = Sweep("s", "search", {}, ".", AXES, count=40)


def judge(params) -> float:
    """Best at depth 4, a rate of 1e-3 and a frozen backbone."""
    rate = abs(math.log10(params["train.learning_rate"]) + 3)
    return 1 - abs(params["chain.depth"] - 4) / 10 - rate / 4 - (params["backbone.tuning"] == "lora") * 0.2


def search(count: int, sweep: Sweep = SWEEP) -> list[Trial]:
    trials: list[Trial] = []
    for number in range(count):
        params = suggest(sweep, trials)
        assert params is not None
        trials.append(Trial(number, params, "finished", judge(params)))
    return trials


def test_it_learns_from_what_was_tried() -> None:
    trials = search(40)
    early, late = (sum(trial.score or 0 for trial in part) / len(part) for part in (trials[:8], trials[-8:]))
    assert late > early + 0.1
    best = find_best(trials)
    assert best is not None
    assert (best.score or 0) > 0.9
    assert type(best.params["chain.depth"]) is int


def test_the_same_trials_give_the_same_answer_and_another_seed_another() -> None:
    trials = search(12)
    assert suggest(SWEEP, trials) == suggest(SWEEP, trials)
    assert suggest(replace(SWEEP, seed=1), []) != suggest(SWEEP, [])


def test_nothing_is_tried_twice_and_a_search_may_run_dry() -> None:
    sweep = replace(SWEEP, axes=(parse_axis("chain.depth=0..2"), parse_axis("train.seed=5,6")))
    trials: list[Trial] = []
    while (params := suggest(sweep, trials)) is not None:
        trials.append(Trial(len(trials), params, "waiting"))
    assert sorted(tuple(trial.params.values()) for trial in trials) == [(d, s) for d in range(3) for s in (5, 6)]


def test_failed_and_running_trials_are_no_trouble() -> None:
    params = suggest(SWEEP, [])
    states = ("failed", "running", "waiting", "pruned", "finished")
    assert params is not None
    trials = [Trial(number, params, state, None, ((1, 0.5),)) for number, state in enumerate(states)]
    assert suggest(SWEEP, trials) not in (None, params)


@pytest.mark.parametrize("pruner", ["median", "halving"])
def test_a_run_far_behind_is_ended_and_a_good_one_is_not(pruner: str) -> None:
    sweep = replace(SWEEP, pruner=pruner)
    done = [
        replace(trial, scores=tuple((epoch, (trial.score or 0) * epoch / 9) for epoch in range(1, 10)))
        for trial in search(9)
    ]
    params = done[0].params
    bad = Trial(9, params, "running", 0.02, ((1, 0.01), (2, 0.015), (3, 0.02)))
    good = Trial(10, params, "running", 0.8, ((1, 0.5), (2, 0.7), (3, 0.8)))
    assert find_losers(sweep, [*done, bad, good]) == [9]
    assert find_losers(replace(sweep, pruner="none"), [*done, bad, good]) == []


def test_the_first_runs_are_never_ended_by_the_median() -> None:
    params = suggest(SWEEP, [])
    assert params is not None
    bad = Trial(1, params, "running", -9.0, ((1, -9.0), (2, -9.0)))
    assert find_losers(SWEEP, [Trial(0, params, "finished", 0.9, ((1, 0.9),)), bad]) == []
