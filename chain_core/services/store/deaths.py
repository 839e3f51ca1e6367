"""Workers that went away in the middle of a run: in words, and how often is too often. Pure.

A run's deaths are a list of {"code", "params", "step"}: what happened, and the step of the checkpoint from which
the run goes on. The next worker tells each as a note.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from typing import Any

MOST_DEATHS = 3
"""So many workers may a run lose without a new checkpoint in between."""
WITNESSED = ("worker_killed", "worker_died", "worker_vanished")
"""Those that a server has seen: a run is to blame for them. It is not where its server went away as well."""
Death = dict[str, Any]


def describe_death(status: int | None, log_tail: str = "") -> Death:
    """The error of a worker that ended with `status`: as in `subprocess`; None where nobody could see it."""
    if status is None:
        return {"code": "worker_vanished", "params": {}, "traceback": log_tail}
    code = "worker_killed" if status == -signal.SIGKILL else "worker_died"
    return {"code": code, "params": {"status": name_status(status)}, "traceback": log_tail}


def name_status(status: int | None) -> str:
    """A signal's name, or the exit status."""
    if status is None:
        return "?"
    try:
        return signal.Signals(-status).name if status < 0 else str(status)
    except ValueError:
        return str(status)


def add_death(deaths: Sequence[Death], error: Mapping[str, Any], step: int | None, attempt: int) -> list[Death]:
    """The deaths with one more. Its sentence says from which step the run goes on, as which `attempt`."""
    params = {**(error.get("params") or {}), "step": step or 0, "attempt": attempt}
    return [*deaths, {"code": error["code"], "params": params, "step": step}]


def explain_last(deaths: Sequence[Death], error: Mapping[str, Any]) -> Death | None:
    """Why the run is not tried again; None where it is."""
    step = deaths[-1]["step"]
    witnessed = [death for death in deaths if death["code"] in WITNESSED]
    last = witnessed[-MOST_DEATHS:]
    if error["code"] not in WITNESSED or len(last) < MOST_DEATHS or any(death["step"] != step for death in last):
        return None
    status = str((error.get("params") or {}).get("status", "?"))
    params = {"times": MOST_DEATHS, "step": step or 0, "status": status}
    return {"code": "workers_died", "params": params, "traceback": error.get("traceback") or ""}
