"""One command in several processes: what is to be said is said once, and all end together."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable

from chain_core.cli.parts import get_status, say_end
from chain_core.errors import RunError
from chain_core.modeling.alarm import listen, sound
from chain_core.modeling.failures import is_alone
from chain_core.modeling.team import Team, join_team

LINGER = 1.0
"""Seconds in which the others hear of a failure as well: it may be the main process that keeps what they look at."""
LEAVE = 2.0
"""Seconds in which the launcher ends the processes that one of them has left alone, that one having said why."""


def run_together(action: Callable[[Team], int]) -> int:
    """Run `action` in each process that was launched; its exit status. A process by itself: nothing but that."""
    team = join_team()
    if team.size == 1:
        return action(team)
    if not team.main:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # they hear of it from the main process
    deafen = listen(team, lambda error: _follow(team, error))
    try:
        status = action(team)
    except BaseException as error:
        return _leave(team, error, deafen)
    team.meet()
    deafen()
    _part()
    return status


def _leave(team: Team, error: BaseException, deafen: Callable[[], None]) -> int:
    """End with an error: the main process says it, which has it as well or is told of it, else the one that has it."""
    lost = isinstance(error, RunError) and error.code == "process_lost"
    if lost:
        time.sleep(LEAVE)
    deafen()  # where another process has said why, that ends this one
    together = not lost and not is_alone(error) and team.meet()
    said = together
    if not together and not lost and isinstance(error, Exception):
        said = sound(team, error, LEAVE)
    if team.main or not said:
        say_end(error)
    if not together:
        _end(error)
    _part()
    return get_status(error)


def _follow(team: Team, error: Exception) -> None:
    """End with another process's error, whatever this one waits in."""
    if team.main:
        say_end(error)
        time.sleep(LINGER)
    _end(error)


def _end(error: BaseException) -> None:
    """At once: no goodbyes to processes that are gone or wait for this one."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(get_status(error))


def _part() -> None:
    from torch.distributed import destroy_process_group

    destroy_process_group()
