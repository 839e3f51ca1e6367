"""One workspace whose server and workers are killed, round after round, until enough of them were."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import psutil
from sqlalchemy import text

from chain_core.config import dump_yaml
from chain_core.paths import PROJECT
from chain_core.services.store.database import build_engine
from chain_core.services.store.deaths import WITNESSED
from chain_core.services.store.records import BUSY, Run
from chain_core.services.store.store import Store
from chain_core.storage.owners import is_alive
from tests.faults.compare import find_problems
from tests.faults.material import KINDS, build_config
from tests.services.store.test_migrations import OLD_TABLES

RUNS, KILLS = 5, 20
"""About so many in one round, which begins with an old store."""
STUCK_SECONDS = 240.0
LOOK_SECONDS = 0.1
FATES = ("", "anywhere", "anywhere", "checkpoint", "checkpoint", "checkpoint", "cache", "cache")
BLOWS = ("worker", "worker", "worker", "server", "both", "goodbye")


class Lane:
    """`play(kills)`; then `kills`, `attempts`, `runs` and `problems` say what came of it."""

    def __init__(self, folder: Path, material: Path, untouched: dict[str, Path], seed: int) -> None:
        self._folder, self._material, self._untouched = folder, material, untouched
        self._random = random.Random(seed)
        self._home = folder
        self._server: subprocess.Popen[str] | None = None
        self.kills: Counter[str] = Counter()
        self.attempts = self.runs = 0
        self.problems: list[str] = []

    def play(self, kills: int) -> None:
        number = 0
        while kills > (done := sum(self.kills.values())) and len(self.problems) < 20:
            number += 1
            self._play_round(number, min(KILLS, kills - done))

    # ---- one round

    def _play_round(self, number: int, kills: int) -> None:
        self._home = self._folder / f"round-{number}"
        url = self._make_old_store(min(RUNS, max(2, kills // 3)))
        for _ in range(self._random.randint(1, 3)):
            self._die_upgrading()
        self._start_server()
        store = Store(url)
        before = sum(self.kills.values())
        deaths: Counter[str] = Counter()
        blow = time.monotonic() + self._random.uniform(1, 4)
        moved, end = -1, time.monotonic() + STUCK_SECONDS
        try:
            while True:
                runs = store.list_runs(1000)
                deaths = Counter(death["code"] for run in runs for death in run.deaths)
                killed = sum(self.kills.values()) - before + sum(deaths.values())
                left = [run for run in runs if run.state != "finished"]
                if killed >= kills and not left:
                    break
                if killed + len(left) * 100 != moved:
                    moved, end = killed + len(left) * 100, time.monotonic() + STUCK_SECONDS
                if time.monotonic() > end or any(run.state == "failed" for run in left):
                    self.problems.append(f"stuck: {[(run.id, run.state, run.error) for run in left]} in {self._home}")
                    break
                if killed < kills:
                    if len(left) < 2:
                        store.add_run(build_config(self._random.choice(sorted(KINDS)), self._material), self._material)
                    for run in store.list_queue()[:1]:
                        self._decide(run)
                    if time.monotonic() > blow:
                        self._strike(store)
                        blow = time.monotonic() + self._random.uniform(1, 6)
                time.sleep(LOOK_SECONDS)
        finally:
            self._end_server()
        self._count(store, deaths)
        store.close()

    def _count(self, store: Store, deaths: Counter[str]) -> None:
        """What the round has shown."""
        inside = Counter(self._read("struck.txt"))
        self.kills.update(inside)
        self.kills["worker"] += sum(deaths.values()) - sum(inside.values())
        self.problems += [f"cannot be read: {line}" for line in self._read("unreadable.txt")]
        for run in store.list_runs(1000):
            self.runs, self.attempts = self.runs + 1, self.attempts + run.attempt
            self.problems += find_problems(store, run.id, self._home / "runs" / run.id, self._untouched[run.name])

    def _read(self, name: str) -> list[str]:
        path = self._home / name
        return path.read_text().splitlines() if path.exists() else []

    # ---- what strikes

    def _decide(self, run: Run) -> None:
        """Give the next attempt of a run its fate, once."""
        fates = self._home / "fates"
        decided = fates / f"{run.id}.{run.attempt}"
        if decided.exists() or _has_suffered(run):
            return
        decided.touch()
        where = self._random.choice(FATES)
        if where:
            after = self._random.uniform(0, 2500) if where == "anywhere" else self._random.randint(1, 40)
            draft = fates / f"{run.id}.draft"
            draft.write_text(json.dumps({"where": where, "after": after}))
            draft.rename(fates / run.id)

    def _strike(self, store: Store) -> None:
        """From outside, whatever they do."""
        kind = self._random.choice(BLOWS)
        busy = [run for run in store.list_runs(10, BUSY) if run.worker and not (kind != "both" and _has_suffered(run))]
        if kind in ("worker", "both"):
            if not busy:
                return
            if kind == "both":
                self._kill_server()
            assert busy[0].worker
            if is_alive(busy[0].worker):
                with suppress(psutil.Error):
                    psutil.Process(busy[0].worker["pid"]).kill()
            if kind == "both":
                self._start_server()
        elif kind == "server":
            self._kill_server()
            time.sleep(self._random.choice([0, 0, 1, 3]))
            self._start_server()
        else:
            self._end_server()
            self._start_server()

    def _kill_server(self) -> None:
        assert self._server
        self._server.kill()
        self._server.wait()
        self.kills["server"] += 1

    # ---- servers

    def _start_server(self, **environment: str) -> None:
        home = {"CHAIN_HOME": str(self._home), "CHAIN_EXECUTOR": "tests.faults.deadly:execute_run"}
        with (self._home / "server.log").open("a") as log:
            self._server = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.server"],
                cwd=PROJECT, env={**os.environ, **home, "CHAIN_DEVICES": "cpu", **environment},
                stdin=subprocess.PIPE, stdout=log, stderr=log, text=True,
            )  # fmt: skip

    def _end_server(self) -> None:
        """As a user does: what trains is put down at a checkpoint."""
        assert self._server
        assert self._server.stdin
        self._server.stdin.close()
        try:
            self._server.wait(60)
        except subprocess.TimeoutExpired:
            self._server.kill()
            self.problems.append(f"a server did not end: {self._home}")

    def _die_upgrading(self) -> None:
        self._start_server(CHAIN_FAULT_STATEMENT=str(self._random.randint(1, 20)))
        assert self._server
        end = time.monotonic() + 60
        while self._server.poll() is None and time.monotonic() < end:
            time.sleep(LOOK_SECONDS)
        if self._server.poll() == -signal.SIGKILL:
            self.kills["migration"] += 1
        else:
            self._end_server()

    def _make_old_store(self, runs: int) -> str:
        """Runs that wait in a store as it was before it had migrations; its URL."""
        (self._home / "fates").mkdir(parents=True)
        url = f"sqlite:///{self._home / 'store.db'}"
        engine = build_engine(url)
        with engine.execution_options(write=True).begin() as connection:
            for statement in OLD_TABLES.format(serial="INTEGER").split(";")[:-1]:
                connection.execute(text(statement))
            for number in range(runs):
                kind = self._random.choice(sorted(KINDS))
                values = {
                    "id": f"old-{number}", "name": kind, "folder": str(self._material), "created": float(number),
                    "config": dump_yaml(build_config(kind, self._material)),
                }  # fmt: skip
                connection.execute(text(
                    "INSERT INTO runs (id, name, state, config, folder, created, control, progress)"
                    " VALUES (:id, :name, 'queued', :config, :folder, :created, '', '{}')"
                ), values)  # fmt: skip
        engine.dispose()
        return url


def _has_suffered(run: Run) -> bool:
    """Whether one more death without a new checkpoint would be the run's last."""
    witnessed = [death for death in run.deaths if death["code"] in WITNESSED][-2:]
    return len(witnessed) == 2 and witnessed[0]["step"] == witnessed[1]["step"]
