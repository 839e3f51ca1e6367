"""How long a click waits for its first training step: `python -m tests.benchmarks warm [--rows 300] [--runs 8]`.

A server in this process, its worker in another, as in the workbench, with the packaged backbone. Seconds from handing a
run in to its first step, as a screen sees it in the store: of the first run of all, which waits for the worker to start
and to load torch and the backbone; of a first run on other rows, whose features must be computed; and of further runs
on known rows with other settings, which is what an experimenter does all day. The last should stay within a second.
"""

from __future__ import annotations

import os
import random
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from tests.tiny import WORDS, write_rows

VARIANTS: tuple[dict[str, Any], ...] = (
    {"train": {"seed": 1}},
    {"chain": {"depth": 2}},
    {"chain": {"links": {"density": 0.5}}},
    {"train": {"learning_rate": 3e-4}},
)
"""What changes from run to run."""
GOAL = 1.0


def measure_starts(rows: int, runs: int) -> dict[str, Any]:
    """{"cold", "new_rows": seconds, "warm": [seconds, …]}."""
    from chain_core.config import merge, resolve_config
    from chain_core.services.store.store import Store
    from chain_core.services.workers.supervisor import Supervisor

    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        os.environ["CHAIN_HOME"] = folder
        for name, seed in (("a", 0), ("b", 1)):
            write_rows(home / f"{name}.jsonl", make_rows(rows, seed))
        store = Store()
        supervisor = Supervisor(store)
        supervisor.start()

        def click(name: str, changes: dict[str, Any]) -> float:
            mapping = {"data": {"train": f"{name}.jsonl"}, "train": {"epochs": 2}}
            config = resolve_config(merge(mapping, changes))
            start = time.perf_counter()
            run_id = supervisor.submit(config, home)
            while not store.read_events(run_id, kinds=("step",)):
                run = store.get_run(run_id)
                if run.error:
                    raise SystemExit(str(run.error))
                time.sleep(0.01)
            seconds = time.perf_counter() - start
            while store.get_run(run_id).active:
                time.sleep(0.05)
            time.sleep(1)  # idle, as between two clicks
            return seconds

        try:
            return {
                "cold": click("a", {}),
                "new_rows": click("b", {}),
                "warm": [click("b", VARIANTS[number % len(VARIANTS)]) for number in range(runs)],
            }
        finally:
            supervisor.close()
            store.close()


def make_rows(count: int, seed: int) -> list[dict[str, Any]]:
    """Sentences of 4 to 12 words with one of three labels."""
    draw = random.Random(seed)
    return [
        {"text": " ".join(draw.choices(WORDS, k=draw.randint(4, 12))), "label": "abc"[number % 3]}
        for number in range(count)
    ]


def format_starts(starts: dict[str, Any]) -> str:
    warm = starts["warm"]
    return (
        f"click to first step: {starts['cold']:.2f} s with a cold worker, {starts['new_rows']:.2f} s with new rows,\n"
        f"known rows and other settings: median {median(warm):.2f} s, slowest {max(warm):.2f} s of {len(warm)}"
    )
