"""Which process owns something on disk, and whether it still runs.

A process is known by when it began, in the kernel's own ticks since this start of the machine: no clock that
somebody sets takes part. Where the kernel does not tell (no /proc), it is the time that psutil finds.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

_PROC = Path("/proc")
_ENDED = ("Z", "X")
"""States of processes that are done and wait for somebody to look at how they ended."""


def get_identity() -> dict[str, Any]:
    """What tells this process from every other one, before and after it. JSON."""
    pid = os.getpid()
    return {"host": socket.gethostname(), "boot": _read_boot(), "pid": pid, "ticks": _read_start(pid)}


def is_alive(identity: Mapping[str, Any] | None) -> bool:
    """Whether the process with this identity still runs; True where another host must answer that."""
    if not identity:
        return False
    if identity["host"] != socket.gethostname():
        return True
    if "started" in identity:  # as it was told before ticks
        return _began_about(identity["pid"], identity["started"])
    if identity["boot"] != _read_boot():
        return False
    ticks = identity["ticks"]
    return _began_about(identity["pid"], ticks) if isinstance(ticks, float) else _read_start(identity["pid"]) == ticks


def is_foreign(identity: Mapping[str, Any]) -> bool:
    """Whether it belongs to another host, whose processes cannot be seen from here."""
    return identity["host"] != socket.gethostname()


def is_of_this_boot(identity: Mapping[str, Any]) -> bool:
    """Whether it began since the machine did."""
    return identity.get("boot", _read_boot()) == _read_boot()


def _read_boot() -> str:
    """A name of this start of the machine; "" where it has none."""
    with contextlib.suppress(OSError):
        return (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    return ""


def _read_start(pid: int) -> int | float | None:
    """Ticks from the machine's start to the process's; seconds since 1970 as a float where there is no /proc; None
    where the process has ended."""
    try:
        # The name, in brackets, may itself hold brackets and blanks.
        fields = (_PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
        return None if fields[0] in _ENDED else int(fields[19])
    except (OSError, IndexError, ValueError):
        if (_PROC / "self" / "stat").exists():
            return None
    try:
        return psutil.Process(pid).create_time()
    except psutil.Error:
        return None


def _began_about(pid: int, started: float) -> bool:
    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and abs(process.create_time() - started) < 1
    except psutil.Error:
        return False
