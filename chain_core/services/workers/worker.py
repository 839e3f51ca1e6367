"""The worker process: `python -m chain_core.services.workers.worker [--store URL] [--role trainer|predictor]`.

Holds torch and the default backbone warm, reads one JSON command a line from stdin (see `jobs`), answers one
JSON line on stdout with the command's "request" number, after one that says that it took the command up.
Whatever libraries print goes to stderr. {"do": "leave"}, and SIGTERM, have it put down the run that it holds. When
its stdin closes, the server that started it is gone: it finishes the run that it holds, if any, and ends.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import json
import logging
import os
import queue
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from chain_core.config import resolve_config
from chain_core.errors import ChainError
from chain_core.services.machine import measure_machine, save_machine
from chain_core.services.store.store import Store
from chain_core.services.workers.jobs import EXECUTOR, PREDICTOR, Jobs, find_function
from chain_core.services.workers.recorder import insist

NICENESS = {"trainer": 10, "predictor": 0}
ORPHAN_SECONDS = 600.0
"""For so long does a worker without a server wait for a store that is away; what it trained lies on the disk."""
log = logging.getLogger("worker")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--store", help="its URL; by default what CHAIN_STORE names")
    parser.add_argument("--role", choices=sorted(NICENESS), default="trainer")
    arguments = parser.parse_args()
    answers = claim_stdout()
    faulthandler.enable()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    give_way(NICENESS[arguments.role])
    inbox = Inbox()
    threading.Thread(target=inbox.read, daemon=True).start()
    store = open_store(arguments.store)
    jobs = Jobs(store, inbox.is_vain)
    inbox.leave = jobs.leave
    signal.signal(signal.SIGTERM, inbox.heed_signal)
    if not os.environ.get("CHAIN_EXECUTOR"):
        warm_up(store, arguments.role, is_wanted=lambda: not inbox.commands.empty())
    send(answers, {"ready": True, "pid": os.getpid()})
    serve(jobs.answer, inbox, answers, finishes=arguments.role == "trainer")


def give_way(niceness: int) -> None:
    """Let the screens go first. Linux may weigh whole sessions against each other, of which a worker is one by itself:
    then a process's own niceness means nothing to those in others (sched(7), autogroups)."""
    with contextlib.suppress(OSError, AttributeError):
        os.nice(niceness)
    if os.name != "posix" or os.getsid(0) != os.getpid():
        return  # others in the session did not ask for it
    with contextlib.suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(niceness), encoding="ascii")


def claim_stdout() -> TextIO:
    """The real stdout for answers; from now on everything that prints, C code too, writes to stderr."""
    real = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return real


class Inbox:
    """What the server sends, and whether there still is a server."""

    def __init__(self) -> None:
        self.commands: queue.Queue[dict[str, Any]] = queue.Queue()
        self.leave: Callable[[], None] = lambda: None
        """Called when the server wants the run to be put down."""
        self.busy = False
        """With a run, which is finished whatever becomes of the server."""
        self._gone: float | None = None

    @property
    def orphaned(self) -> bool:
        """Whether the server is gone."""
        return self._gone is not None

    def is_vain(self) -> bool:
        """Whether to give up a store that is away: nobody is left to wait for it."""
        return self._gone is not None and time.monotonic() - self._gone > ORPHAN_SECONDS

    def read(self) -> None:
        """Pass each line of stdin on. When stdin ends, so does the process, unless it holds a run."""
        for line in sys.stdin:
            if not line.strip():
                continue
            command = json.loads(line)
            if command["do"] == "leave":
                self.leave()
            else:
                self.commands.put(command)
        log.info("the server is gone")
        self._end()

    def heed_signal(self, *_: object) -> None:
        """SIGTERM: put the run down and end."""
        self.leave()
        self._end()

    def _end(self) -> None:
        self._gone = self._gone or time.monotonic()
        if not self.busy:
            os._exit(0)


def serve(answer: Callable[[dict[str, Any]], dict[str, Any]], inbox: Inbox, answers: TextIO, finishes: bool) -> None:
    """Answer commands, one after the other, for as long as there is a server. `finishes`: the last one even then."""
    while not inbox.orphaned:
        command = inbox.commands.get()
        inbox.busy = finishes
        log.info("%s %s", command["do"], command["run"])
        send(answers, {"request": command.get("request"), "taken": True})
        try:
            result = answer(command)
        except ChainError as error:
            log.exception("the answer failed")
            result = {"error": {"code": error.code, "params": {k: str(v) for k, v in error.params.items()}}}
        inbox.busy = False
        send(answers, {"request": command.get("request"), **result})


def send(answers: TextIO, message: dict[str, Any]) -> None:
    """Answer, if somebody listens."""
    with contextlib.suppress(OSError, ValueError):
        answers.write(json.dumps(message, ensure_ascii=False, default=float) + "\n")
        answers.flush()


def open_store(url: str | None) -> Store:
    """The store, however long it is away."""
    return insist(lambda: Store(url))


def warm_up(store: Store, role: str, is_wanted: Callable[[], bool]) -> None:
    """Import, load and try out what the first command would wait for, unless it is waiting already.

    A failure here is that command's to explain.
    """
    start = time.perf_counter()
    try:
        if role == "trainer":
            save_machine(store, measure_machine())
        execute = find_function("CHAIN_EXECUTOR", EXECUTOR)  # imports training and modeling
        find_function("CHAIN_PREDICTOR", PREDICTOR)
        if role == "trainer" and not is_wanted():
            rehearse(execute, is_wanted)
    except Exception:
        log.exception("warming up failed")
    log.info("warm after %.1f s", time.perf_counter() - start)


def rehearse(execute: Callable[..., Any], should_stop: Callable[[], bool] = lambda: False) -> None:
    """A run of a few rows in a workspace that is thrown away: it loads the default backbone, imports all that
    is imported late, and has the processor's kernels built."""
    home = os.environ.get("CHAIN_HOME")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["CHAIN_HOME"] = folder
        try:
            (Path(folder) / "train.jsonl").write_text("".join(_REHEARSED), encoding="utf-8")
            execute(
                resolve_config(_REHEARSAL),
                Path(folder) / "run",
                folder=Path(folder),
                emit=lambda event: None,
                read_control=lambda: "stop" if should_stop() else "",
            )
        finally:
            os.environ.pop("CHAIN_HOME")
            if home is not None:
                os.environ["CHAIN_HOME"] = home


_REHEARSED = [
    json.dumps({"tokens": ["one", "word", str(number)], "label": "ab"[number % 2], "tags": ["O", "B-x", "O"]}) + "\n"
    for number in range(40)
]
_REHEARSAL = {
    "data": {"train": "train.jsonl", "test": 0.2},
    "input": {"tokens": "tokens"},
    "heads": {
        "label": {"kind": "classification", "column": "label"},
        "tags": {"kind": "tagging", "column": "tags"},
    },
    "train": {"epochs": 1},
}


if __name__ == "__main__":
    main()
