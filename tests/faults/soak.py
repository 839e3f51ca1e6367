"""Many small runs, queued by several clients at once; the memory of the server and of its worker meanwhile."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import psutil

from chain_core.paths import PROJECT
from chain_core.services.store.store import Store
from tests.faults.material import prepare_material
from tests.services.waiting import find_workers

MOST_GROWTH = 1.10
"""Of the memory between the first sample and the last."""
WARM_RUNS = 20
"""Before the first sample: what is loaded late is loaded by then."""
CLIENT = """
import sys, time
from pathlib import Path
from chain_core.services.store.store import Store
from tests.faults.material import build_config
material, count, number = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
store = Store()
for index in range(count):
    store.add_run(build_config("short", material), material, tags=[f"client-{number}"])
    for run in store.list_runs(20):  # what an open page asks for
        store.read_curves(run.id)
    time.sleep(0.2)
"""
"""A tab or a person."""


def run_soak(folder: Path, runs: int, clients: int) -> int:
    """Prints figures; 0 where every run finished and the memory stayed."""
    material, home = prepare_material(folder / "material"), folder / "home"
    home.mkdir(parents=True)
    environment = {
        **os.environ, "CHAIN_HOME": str(home), "CHAIN_DEVICES": "cpu",
        "CHAIN_EXECUTOR": "tests.faults.deadly:execute_run",  # the real one: nobody's fate is to die
    }  # fmt: skip
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.services.server"], cwd=PROJECT, env=environment, stdin=subprocess.PIPE
    )
    shares = [runs // clients + (number < runs % clients) for number in range(clients)]
    crew = [
        subprocess.Popen(
            [sys.executable, "-c", CLIENT, str(material), str(share), str(number)], cwd=PROJECT, env=environment
        )
        for number, share in enumerate(shares)
    ]
    started = time.monotonic()
    try:
        states, samples = _watch(Store(f"sqlite:///{home / 'store.db'}"), runs, server.pid)
    finally:
        for client in crew:
            client.kill()
            client.wait()
        assert server.stdin
        server.stdin.close()
        server.wait(60)
    seconds = time.monotonic() - started
    print(
        f"{states.get('finished', 0)} of {runs} runs finished in {seconds:.0f} s, {seconds / runs:.2f} s each: {states}"
    )
    grown = []
    for name, values in samples.items():
        sizes = [value / 1e6 for value in values]
        third = max(1, len(sizes) // 3)
        first, middle, last = median(sizes[:third]), median(sizes[third:-third] or sizes), median(sizes[-third:])
        print(f"{name}: {first:.0f} MB at the start, {middle:.0f} in the middle, {last:.0f} at the end")
        grown.append(last / first)
    return 0 if states == {"finished": runs} and max(grown) < MOST_GROWTH else 1


def _watch(store: Store, runs: int, server: int) -> tuple[dict[str, int], dict[str, list[int]]]:
    """States of the runs at the end; bytes of the server and its worker, sampled in between."""
    samples: dict[str, list[int]] = {"server": [], "worker": []}
    moved, last, done = -1, time.monotonic(), 0
    while time.monotonic() - last < 180:
        time.sleep(1)
        found = store.list_runs(runs)
        waiting = sum(run.active for run in found)
        done = len(found) - waiting
        if done != moved:
            moved, last = done, time.monotonic()
        if done >= WARM_RUNS or runs < 3 * WARM_RUNS:
            workers = find_workers(server)
            samples["server"].append(psutil.Process(server).memory_info().rss)
            samples["worker"] += [psutil.Process(pid).memory_info().rss for pid in workers]
        if done == runs:
            break
    found = store.list_runs(runs)
    store.close()
    states = {state: sum(run.state == state for run in found) for state in {run.state for run in found}}
    return states, samples
