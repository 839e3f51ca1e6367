"""The worker process: `python -m chain_core.services.worker [--store URL] [--role trainer|predictor]`.

Holds torch and the default backbone warm, reads one JSON command a line from stdin (see `jobs`), answers one
JSON line on stdout with the command's "request" number, after one that says that it took the command up.
Whatever libraries print goes to stderr. It ends when its stdin closes: the server that started it is gone.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import json
import logging
import os
import queue
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from chain_core.config import resolve_config
from chain_core.errors import ChainError
from chain_core.services.jobs import EXECUTOR, PREDICTOR, Jobs, find_function
from chain_core.services.machine import measure_machine, save_machine
from chain_core.services.store import Store

NICENESS = {"trainer": 15, "predictor": 0}
log = logging.getLogger("worker")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--store", help="its URL; by default what CHAIN_STORE names")
    parser.add_argument("--role", choices=sorted(NICENESS), default="trainer")
    arguments = parser.parse_args()
    answers = claim_stdout()
    faulthandler.enable()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    with contextlib.suppress(OSError, AttributeError):
        os.nice(NICENESS[arguments.role])
    commands: queue.Queue[dict[str, Any]] = queue.Queue()
    threading.Thread(target=read_commands, args=(commands,), daemon=True).start()
    store = Store(arguments.store)
    if not os.environ.get("CHAIN_EXECUTOR"):
        warm_up(store, arguments.role, is_wanted=lambda: not commands.empty())
    send(answers, {"ready": True, "pid": os.getpid()})
    serve(Jobs(store).answer, commands, answers)


def claim_stdout() -> TextIO:
    """The real stdout for answers; from now on everything that prints, C code too, writes to stderr."""
    real = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return real


def read_commands(commands: queue.Queue[dict[str, Any]]) -> None:
    """Pass each line of stdin on. When stdin ends, so does the process, in the middle of whatever it does."""
    for line in sys.stdin:
        if line.strip():
            commands.put(json.loads(line))
    log.info("the server is gone")
    os._exit(0)


def serve(
    answer: Callable[[dict[str, Any]], dict[str, Any]],
    commands: queue.Queue[dict[str, Any]],
    answers: TextIO,
) -> None:
    """Answer commands for ever, one after the other."""
    while True:
        command = commands.get()
        log.info("%s %s", command["do"], command["run"])
        send(answers, {"request": command.get("request"), "taken": True})
        try:
            result = answer(command)
        except ChainError as error:
            log.exception("the answer failed")
            result = {"error": {"code": error.code, "params": {k: str(v) for k, v in error.params.items()}}}
        send(answers, {"request": command.get("request"), **result})


def send(answers: TextIO, message: dict[str, Any]) -> None:
    answers.write(json.dumps(message, ensure_ascii=False, default=float) + "\n")
    answers.flush()


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
