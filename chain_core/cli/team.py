"""One command in several processes: what is to be said is said once, and all end together."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable

from chain_core.cli.parts import get_status, say_end
from chain_core.errors import RunError
from chain_core.modeling.team import Team, join_team

LEAVE = 2.0
"""Seconds in which the launcher ends the processes that one of them has left alone, that one having said why."""


def run_together(action: Callable[[Team], int]) -> int:
    """Run `action` in each process that was launched; its exit status. A process by itself: nothing but that."""
    team = join_team()
    if team.size == 1:
        return action(team)
    if not team.main:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # they hear of it from the main process
    try:
        status = action(team)
    except BaseException as error:
        return _leave(team, error)
    team.meet()
    _part()
    return status


def _leave(team: Team, error: BaseException) -> int:
    """End with an error: where all have it the main process says so, else the one that has it."""
    lost = isinstance(error, RunError) and error.code == "process_lost"
    together = not lost and team.meet()
    if lost:
        time.sleep(LEAVE)
    if team.main or not together:
        say_end(error)
    if together:
        _part()
        return get_status(error)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(get_status(error))  # no goodbyes to processes that are gone or wait for this one


def _part() -> None:
    from torch.distributed import destroy_process_group

    destroy_process_group()
