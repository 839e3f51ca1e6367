"""Made-up results."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from tests.benchmarks.contenders import EXPERIMENTS, build_jobs
from tests.benchmarks.jobs import Job, Result
from tests.benchmarks.rows import DATA

MACHINE = {"cpu": "a chip", "cores": 2, "threads": 2, "native_bf16": True, "gpu": None, "torch": "2", "python": "3"}


def make_result(job: Job, score: float, seconds: float = 10.0, **more: Any) -> Result:
    """Three epochs that end at the score in everything that the data set shows."""
    heads = [head for head in DATA[job.data].heads if not job.tasks or head in job.tasks]
    names = [name for name in DATA[job.data].metrics if name.partition("/")[0] in heads or len(heads) > 1]
    final = dict.fromkeys(names, score)
    curve = [
        {"seconds": seconds * epoch / 3, "epoch": epoch, "metrics": dict.fromkeys(names, score - (3 - epoch) / 10)}
        for epoch in (1, 2, 3)
    ]
    return {
        "job": asdict(job),
        "curve": curve,
        "validation": final,
        "test": final,
        "seconds": {
            "imports": 1.0,
            "features": 1.0,
            "training": 8.0,
            "epochs": [2.0] * 3,
            "cpu": 15.0,
            "total": seconds,
        },
        "memory_mb": 500.0,
        "trainable": 1000,
        "disk_mb": {"kept": 1.0, "written": 2.0},
        "machine": MACHINE,
        **more,
    }


def make_experiment(name: str, seeds: tuple[int, ...] = (0, 1, 2)) -> list[Result]:
    """All jobs of an experiment; each contender is a little better than the one before it."""
    jobs = build_jobs(EXPERIMENTS[name], 6, seeds=list(seeds))
    places = {contender: place for place, contender in enumerate(dict.fromkeys(job.contender for job in jobs))}
    return [
        make_result(job, 0.8 + 0.005 * places[job.contender] + 0.001 * job.seed, 20.0 + 9 * places[job.contender])
        for job in jobs
    ]
