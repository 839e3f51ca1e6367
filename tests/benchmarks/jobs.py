"""One measurement is one job: a contender on a data set with a seed, in a process of its own, one JSON file.

A result is written whole or not at all. It holds the job that made it: a call skips what is there and still asked for
in the same words, so an interrupted call goes on where it stopped, and a changed contender is measured anew.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from chain_core.paths import PROJECT
from tests.benchmarks.measure import STARTED

Result = dict[str, Any]


@dataclass(frozen=True)
class Job:
    """What one process does."""

    experiment: str
    data: str
    contender: str
    seed: int
    runner: str
    """chain, trainer or linear: see `single.RUNNERS`."""
    settings: dict[str, Any] = field(default_factory=dict)
    tasks: tuple[str, ...] = ()
    """The heads that take part; none: all of the data set."""
    backbone: str = "minilm-l6"
    rows: tuple[int, ...] | None = None
    """At most so many rows of train, validation, test; None: all."""
    epochs: int | None = None
    """In place of the contender's own."""
    own_cache: bool = True
    """Whether the run finds no features and pays for them; False: those of the same experiment are shared."""

    @property
    def name(self) -> str:
        return f"{self.experiment}/{self.data}/{self.contender}/{self.seed}"

    def get_path(self, out: Path) -> Path:
        return out / "results" / self.experiment / self.data / f"{self.contender}-{self.seed}.json"


def find_result(job: Job, out: Path) -> Result | None:
    """What an earlier call measured for exactly this job; None: nothing, or it failed."""
    result = read_result(job.get_path(out))
    same = result is not None and result["job"] == json.loads(json.dumps(asdict(job)))
    return result if result is not None and same and not result.get("error") else None


def read_result(path: Path) -> Result | None:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None


def load_results(out: Path) -> list[Result]:
    """All results below a folder, failed ones too, in the order of their names."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted((out / "results").glob("*/*/*.json"))]


def write_json(path: Path, value: Any) -> None:
    """Whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    temporary.replace(path)


def run_jobs(
    jobs: Sequence[Job],
    out: Path,
    *,
    minutes: float | None = None,
    say: Callable[[str], None] = lambda line: print(line, file=sys.stderr, flush=True),
    run: Callable[[Job, Path], Result] | None = None,
) -> bool:
    """Run what is not done yet, one after the other; begins none after `minutes`. Whether all are done.

    A job that fails leaves a result with its `error`; it is tried again by the next call.
    """
    started = time.monotonic()
    for number, job in enumerate(jobs, start=1):
        head = f"[{number}/{len(jobs)}] {job.name}"
        if find_result(job, out):
            say(f"{head}: there already")
            continue
        if minutes is not None and time.monotonic() - started > 60 * minutes:
            say(f"{head}: not begun, {minutes:g} minutes are over; the same call goes on from here")
            return False
        say(f"{head} …")
        result = (run or run_in_process)(job, out)
        write_json(job.get_path(out), {"job": asdict(job), **result})
        say(f"{head}: {_describe(result)}")
    return True


def _describe(result: Result) -> str:
    if result.get("error"):
        return f"failed: {result['error']}"
    figures = ", ".join(f"{name} {value:.4f}" for name, value in list(result["test"].items())[:3])
    return f"{result['seconds']['total']:.1f} s; test {figures or 'not measured'}"


def run_in_process(job: Job, out: Path) -> Result:
    """The job in a fresh process, whose folder is cleared afterwards."""
    work = out / "work" / job.name.replace("/", "_")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    (work / "job.json").write_text(json.dumps(asdict(job)), encoding="utf-8")
    home = work / "home" if job.own_cache else out / "work" / f"home-{job.experiment}"
    environment = {**os.environ, "CHAIN_HOME": str(home), "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
    log = out / "logs" / f"{job.name.replace('/', '_')}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w", encoding="utf-8") as stream:
        environment[STARTED] = repr(time.monotonic())
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.single", str(work)],
            cwd=PROJECT, env=environment, stdout=stream, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            code = process.wait()
        except BaseException:
            process.terminate()
            process.wait()
            raise
    result = read_result(work / "result.json") if code == 0 else None
    shutil.rmtree(work, ignore_errors=True)
    return result or {"error": f"exit status {code}: {_read_last_line(log)}"}


def _read_last_line(log: Path) -> str:
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return lines[-1][:300] if lines else "no output"


def order_jobs(jobs: Iterable[Job]) -> list[Job]:
    """By seed, then data set, the contenders in turn, every other seed backwards: a machine that slows down or heats up
    does so for all of them alike."""
    groups: dict[tuple[int, str], list[Job]] = {}
    for job in jobs:
        groups.setdefault((job.seed, job.data), []).append(job)
    return [
        job
        for (seed, _), group in sorted(groups.items(), key=lambda item: item[0][0])
        for job in (reversed(group) if seed % 2 else group)
    ]
