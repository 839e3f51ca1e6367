"""Other processes: waiting for what they do without a fixed sleep, and finding them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import psutil

T = TypeVar("T")


def wait_for(look: Callable[[], T], seconds: float = 60) -> T:
    """The first truthy value of `look`; the limit is only there to end a test that hangs."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = look()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"nothing came within {seconds} s")


def find_workers(parent: int | None = None) -> list[int]:
    """The living workers that train, of this process or another one."""
    children = psutil.Process(parent).children()
    return [child.pid for child in children if child.status() != psutil.STATUS_ZOMBIE and "trainer" in child.cmdline()]
