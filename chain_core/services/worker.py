"""The worker process: `python -m chain_core.services.worker --store URL [--role trainer|predictor]`.

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
import threading
import time
from collections.abc import Callable
from typing import Any, TextIO

from chain_core.errors import ChainError
from chain_core.services.jobs import EXECUTOR, PREDICTOR, Jobs, find_function
from chain_core.services.machine import measure_machine, save_machine
from chain_core.services.store import Store

NICENESS = {"trainer": 15, "predictor": 0}
WARM_BACKBONE = "minilm-l6"
log = logging.getLogger("worker")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--store", required=True)
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
        warm_up(store, arguments.role)
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


def warm_up(store: Store, role: str) -> None:
    """Import and load what the first command would wait for. A failure here is that command's to explain."""
    start = time.perf_counter()
    try:
        if role == "trainer":
            save_machine(store, measure_machine())
        import transformers

        from chain_core.modeling.catalogue import find_folder

        find_function("CHAIN_EXECUTOR", EXECUTOR)  # imports training and modeling
        find_function("CHAIN_PREDICTOR", PREDICTOR)

        transformers.AutoModel.from_pretrained(str(find_folder(WARM_BACKBONE)))
    except Exception:
        log.exception("warming up failed")
    log.info("warm after %.1f s", time.perf_counter() - start)


if __name__ == "__main__":
    main()
