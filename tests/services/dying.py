"""A process that is killed at a moment of its own choosing."""

from __future__ import annotations

import os
import signal
from collections.abc import Collection

from sqlalchemy import Engine, event

CHANGES = ("CREATE", "ALTER", "INSERT", "UPDATE", "DELETE", "DROP")


def die_before(engines: Engine | type[Engine], number: int, words: Collection[str] = ()) -> None:
    """Kill this process before its statement of that number, from 1, counting those that begin with one of the words,
    or all; 0: never. `engines`: one engine, or the class for all of them."""
    if not number:
        return
    left = number

    @event.listens_for(engines, "before_cursor_execute")
    def count(connection, cursor, statement, *_) -> None:
        nonlocal left
        left -= not words or statement.split()[0] in words
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
