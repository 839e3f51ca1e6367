"""What a job's own process runs: `python -m tests.benchmarks.single WORK`, with WORK/job.json -> WORK/result.json."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from tests.benchmarks.jobs import Job, Result, write_json

RUNNERS = {
    "chain": "tests.benchmarks.run_chain:run_chain",
    "trainer": "tests.benchmarks.run_trainer:run_trainer",
    "linear": "tests.benchmarks.run_linear:run_linear",
}
"""Runner -> where its function stands: (job, work folder) -> result."""


def load_job(path: Path) -> Job:
    fields: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    rows = fields.pop("rows")
    return Job(**{**fields, "tasks": tuple(fields["tasks"])}, rows=tuple(rows) if rows else None)


def load_runner(name: str) -> Callable[[Job, Path], Result]:
    module, _, function = RUNNERS[name].partition(":")
    return getattr(import_module(module), function)


def main(work: Path) -> None:
    job = load_job(work / "job.json")
    run = load_runner(job.runner)
    write_json(work / "result.json", run(job, work))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
