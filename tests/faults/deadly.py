"""An executor that dies where a run's fate says so: named to workers through CHAIN_EXECUTOR.

HOME/fates/RUN holds {"where": "checkpoint" | "cache" | "anywhere", "after": N}: after so many operations on files of
that kind, or milliseconds. It strikes once. HOME/struck.txt counts those that did, HOME/unreadable.txt checkpoints that
an attempt found and could not read.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

with suppress(OSError):
    os.nice(-15)  # undone where that is allowed: loading torch again and again is most of the time that this takes

from chain_core.paths import get_folder, get_home
from chain_core.services.runs.checkpoint_names import list_checkpoints
from chain_core.services.runs.execute import execute_run as execute
from chain_core.training.checkpoint import load_checkpoint

CACHES = ("encoded", "features")


def execute_run(config: Any, out: Path, **options: Any) -> dict[str, Any]:
    for folder in list_checkpoints(out):
        if load_checkpoint(folder) is None:
            _note("unreadable.txt", str(folder))
    fate = _take_fate(out.name)
    if fate is not None and fate["where"] == "anywhere":
        signal.setitimer(signal.ITIMER_REAL, fate["after"] / 1000)  # which ends the process, whatever it is doing
    elif fate is not None:
        _install(fate["where"], fate["after"], out)
    try:
        return execute(config, out, **options)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        _doom.clear()


_doom: dict[str, Any] = {}
_hooked = False


def _take_fate(run_id: str) -> dict[str, Any] | None:
    path = get_home() / "fates" / run_id
    try:
        fate = json.loads(path.read_text())
        path.unlink()
    except OSError:
        return None
    return fate


def _install(where: str, after: int, out: Path) -> None:
    """Die at an operation on the run's checkpoints, or on the caches, which are emptied for it."""
    global _hooked
    if where == "cache":
        for name in CACHES:
            shutil.rmtree(get_folder(name), ignore_errors=True)
        places = tuple(str(get_folder(name)) for name in CACHES)
    else:
        places = (str(out / "checkpoints"),)
    _doom.update(where=where, left=after, places=places)
    if not _hooked:
        sys.addaudithook(_watch)
        _hooked = True


def _watch(event: str, arguments: tuple) -> None:
    """Called by Python before every operation that it audits; files and folders are among them."""
    if not _doom or not arguments or not event.startswith(("open", "os.", "shutil.", "mmap")):
        return
    if not any(str(argument).startswith(_doom["places"]) for argument in arguments[:2]):
        return
    _doom["left"] -= 1
    if _doom["left"] <= 0:
        where = _doom["where"]
        _doom.clear()
        _note("struck.txt", where)
        os.kill(os.getpid(), signal.SIGKILL)


def _note(name: str, line: str) -> None:
    with (get_home() / name).open("a") as file:
        file.write(line + "\n")
