"""Medians, joined runs, verdicts, and the seconds to a quality."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.benchmarks.jobs import Job
from tests.benchmarks.make import make_result
from tests.benchmarks.reach import compute_reaches, find_seconds, format_reaches
from tests.benchmarks.results import Spread, group_results, judge, summarise

JOB = Job("race", "atis", "fast", 0, "chain")


@pytest.mark.parametrize(
    ("base", "other", "verdict"),
    [
        ((0.90, 0.91, 0.92), (0.95, 0.96, 0.97), "better"),
        ((0.95, 0.96, 0.97), (0.90, 0.91, 0.92), "worse"),
        ((0.90, 0.91, 0.92), (0.91, 0.95, 0.96), "no difference"),  # ranges meet
        ((0.90, 0.91, 0.92), (0.921, 0.922, 0.99), "no difference"),  # nearer than the other's own range
        ((0.90, 0.91, 0.92), (0.90, 0.91, 0.92), "no difference"),
        ((0.90, 0.91), (0.95, 0.96, 0.97), "too few seeds"),
    ],
)
def test_verdicts(base, other, verdict):
    assert judge(Spread(base), Spread(other)) == verdict


def test_a_missing_figure_has_no_verdict():
    assert judge(None, Spread((1.0, 1.0, 1.0))) == "too few seeds"


def test_medians_and_failures():
    results = [make_result(replace(JOB, seed=seed), score) for seed, score in enumerate((0.5, 0.9, 0.6))]
    summary = summarise("fast", [*results, {"job": {}, "error": "broken"}])
    assert summary.seeds == (0, 1, 2)
    spread = summary.test["slots/entity_f1"]
    assert (spread.low, spread.median, spread.high) == (0.5, 0.6, 0.9)
    assert summary.errors == ("broken",)
    assert summary.figures["work"].median == 9.0


def test_runs_of_single_tasks_add_up():
    slots = make_result(
        replace(JOB, contender="lora-each.slots", tasks=("slots",)), 0.9, 100.0, right={"test": {"slots": "1101"}}
    )
    intent = make_result(
        replace(JOB, contender="lora-each.intent", tasks=("intent",)), 0.8, 50.0, right={"test": {"intent": "0111"}}
    )
    groups = group_results([intent, slots], "race", "atis")
    (joined,) = groups["lora-each"]
    assert joined["seconds"]["total"] == 150.0
    assert joined["trainable"] == 2000
    assert joined["memory_mb"] == 500.0
    assert "gpu_memory_mb" not in joined
    for single, held in ((slots, 300.0), (intent, 400.0)):
        single["gpu_memory_mb"] = held
    (joined,) = group_results([intent, slots], "race", "atis")["lora-each"]
    assert joined["gpu_memory_mb"] == 400.0
    assert joined["test"] == {"slots/entity_f1": 0.9, "intent/accuracy": 0.8, "joint/exact_match": 0.5}
    assert max(point["seconds"] for point in joined["curve"]) == 150.0


def test_all_right_of_one_task_is_not_that_of_all():
    parts = [make_result(replace(JOB, contender=f"each.{head}", tasks=(head,)), 0.9) for head in ("slots", "intent")]
    parts = [{**part, "test": {**part["test"], "joint/exact_match": 0.9}} for part in parts]
    (joined,) = group_results(parts, "race", "atis")["each"]
    assert joined["test"] == {"slots/entity_f1": 0.9, "intent/accuracy": 0.9}


def test_a_seed_that_one_task_lacks_is_not_joined():
    slots = [make_result(replace(JOB, contender="each.slots", seed=seed), 0.9) for seed in (0, 1)]
    intent = [make_result(replace(JOB, contender="each.intent"), 0.9)]
    assert [result["job"]["seed"] for result in group_results([*slots, *intent], "race", "atis")["each"]] == [0]


def test_seconds_to_a_figure():
    curve = [{"seconds": 5.0, "metrics": {"m": 0.4}}, {"seconds": 9.0, "metrics": {"m": 0.6}}]
    assert find_seconds(curve, "m", 0.4) == 5.0
    assert find_seconds(curve, "m", 0.41) == 9.0
    assert find_seconds(curve, "m", 0.61) is None


def test_reaches_hold_the_chain_to_the_bars():
    results = []
    for seed in range(3):
        job = replace(JOB, seed=seed)
        results += [
            make_result(job, 0.95, 24.0),
            make_result(replace(job, contender="balanced"), 0.85, 24.0),
            make_result(replace(job, contender="lora-joint", runner="trainer"), 0.9, 300.0),
            make_result(replace(job, contender="lora-each.slots", runner="trainer", tasks=("slots",)), 0.9, 250.0),
            make_result(replace(job, contender="lora-each.intent", runner="trainer", tasks=("intent",)), 0.9, 200.0),
        ]
    reaches = {(reach.chain, reach.peer): reach for reach in compute_reaches(results)}
    joint, each = reaches["fast", "lora-joint"], reaches["fast", "lora-each"]
    assert (joint.peer_seconds, joint.chain_seconds, joint.passed) == (300.0, 24.0, True)
    assert joint.bare_ratio == pytest.approx(23 / 299)
    assert each.peer_seconds == 450.0
    assert each.bare_ratio == pytest.approx(23 / 448)
    assert each.ratio == pytest.approx(24 / 450)
    assert not each.passed
    assert reaches["balanced", "lora-joint"].chain_seconds is None
    assert "1/12.5" in format_reaches(compute_reaches(results))
