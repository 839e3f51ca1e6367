"""Which process owns something on disk, and whether it still runs."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Any

import psutil


def get_identity() -> dict[str, Any]:
    """What tells this process from every other one, before and after it."""
    process = psutil.Process()
    return {"host": socket.gethostname(), "pid": process.pid, "started": process.create_time()}


def is_alive(identity: Mapping[str, Any] | None) -> bool:
    """Whether the process with this identity still runs; True where another host must answer that."""
    if not identity:
        return False
    if identity["host"] != socket.gethostname():
        return True
    try:
        return abs(psutil.Process(identity["pid"]).create_time() - identity["started"]) < 1
    except psutil.Error:
        return False
