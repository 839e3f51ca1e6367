"""What a large table holds in memory: `python -m tests.benchmarks.memory [--rows 300000] [--task intent|slots]`.

One run with a tiny random backbone, from import to saved predictions, in this process. Printed for each phase: seconds,
and how far the process's own memory (RssAnon: what no file backs, so that it cannot be dropped) and all that it has
mapped (RSS) rose above where they stood before, at their highest.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

MEGABYTE = 1 << 20
EVERY_SECONDS = 0.02
VERBS, PLACES, COLOURS = ("turn", "play", "stop", "good"), ("kitchen", "hall"), ("red", "green", "warm", "cold")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=300_000)
    parser.add_argument("--task", choices=("intent", "slots"), default="intent", help="pooled vectors or positions")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["CHAIN_HOME"] = str(Path(folder) / "home")
        write_table(Path(folder) / "rows.parquet", arguments.rows)
        result = measure(Path(folder), arguments.task)
    result = {"rows": arguments.rows, "task": arguments.task, **result}
    print(json.dumps(result, indent=1))
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def write_table(path: Path, count: int) -> None:
    """Commands of 5 to 25 words, no two alike, with an intent and a tag a word."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema({"tokens": pa.list_(pa.string()), "intent": pa.string(), "slots": pa.list_(pa.string())})
    generator = np.random.default_rng(0)
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, count, 20_000):
            rows = [_make_row(number, generator) for number in range(start, min(start + 20_000, count))]
            writer.write_table(pa.Table.from_pylist(rows, schema=schema))


def _make_row(number: int, generator: np.random.Generator) -> dict[str, Any]:
    verb, place, colour = VERBS[number % 4], PLACES[number % 2], COLOURS[number % 3]
    filler = ["day"] * int(generator.integers(0, 20))
    tokens = [verb, "the", colour, "light", place, f"x{number}", *filler]
    tags = ["O", "O", "B-colour", "O", "B-place", "O", *["O"] * len(filler)]
    return {"tokens": tokens, "intent": f"{verb}-{place}", "slots": tags}


def measure(folder: Path, task: str) -> dict[str, Any]:
    """Each phase's seconds and highest memory of one run."""
    import torch  # noqa: F401  # before the baseline: what the libraries take is not the table's

    from chain_core.config import resolve_config
    from chain_core.services.runs.execute import execute_run
    from tests.tiny import save_tiny_backbone

    backbone = save_tiny_backbone(folder / "backbone")
    kinds = {"intent": "classification", "slots": "tagging"}
    mapping = {
        "data": {"train": "rows.parquet", "validation": 0.1},
        "input": {"tokens": "tokens"},
        "backbone": {"name": str(backbone)},
        "chain": {"depth": 2, "width": 32},
        "heads": {task: {"kind": kinds[task], "column": task}},
        "train": {"epochs": 1, "batch_size": 256, "precision": "fp32"},
    }
    with Watch() as watch:

        def follow(event: dict[str, Any]) -> None:
            if event["kind"] == "phase":
                watch.enter(event["phase"])
            elif event["kind"] == "epoch":
                print(f"epoch: {event['validation']}", flush=True)

        execute_run(resolve_config(mapping), folder / "run", folder=folder, emit=follow)
        watch.enter("after")
    size = sum(path.stat().st_size for path in (folder / "home").rglob("*") if path.is_file())
    return {"phases": watch.phases, "workspace_mb": round(size / MEGABYTE, 1)}


class Watch:
    """Follows this process's memory by phase."""

    def __init__(self) -> None:
        self.phases: dict[str, dict[str, float]] = {}
        self._base = read_memory()
        self._phase, self._started = "", time.perf_counter()
        self._highest = (0, 0)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._closed.set()
        self._thread.join()

    def enter(self, phase: str) -> None:
        """The last phase is over, another begins."""
        if self._phase:
            self._look()
            own, all_ = ((high - base) / MEGABYTE for high, base in zip(self._highest, self._base, strict=True))
            self.phases[self._phase] = {
                "seconds": round(time.perf_counter() - self._started, 1),
                "own_peak_mb": round(own, 1),
                "mapped_peak_mb": round(all_, 1),
            }
            print(self._phase, self.phases[self._phase], flush=True)
        self._phase, self._started, self._highest = phase, time.perf_counter(), (0, 0)

    def _look(self) -> None:
        self._highest = tuple(map(max, self._highest, read_memory()))

    def _follow(self) -> None:
        while not self._closed.wait(EVERY_SECONDS):
            self._look()


def read_memory() -> tuple[int, int]:
    """(own, all) memory in bytes: RssAnon and VmRSS."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    fields = {line.partition(":")[0]: line.split()[1] for line in lines if line.startswith(("RssAnon", "VmRSS"))}
    return int(fields["RssAnon"]) * 1024, int(fields["VmRSS"]) * 1024


if __name__ == "__main__":
    main()
