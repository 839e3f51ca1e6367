"""What a process says that has failed where the others wait for it, and cannot hear of it in any other way.

It is left in the store through which the processes have found each other; in each a thread looks there now and then,
whatever its process waits in.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np

from chain_core.modeling.failures import portable
from chain_core.modeling.passing import pack, unpack
from chain_core.modeling.team import Team

EVERY_SECONDS = 0.5
FAILURE, HEARD, MAIN_HEARD = "chain/failure", "chain/heard", "chain/main heard"


def sound(team: Team, error: Exception, patience: float) -> bool:
    """Tell the others; whether the main process has heard of it. Waits until all have, for some seconds at most."""
    told = False
    with suppress(RuntimeError):  # the process that keeps the store is gone
        store = _open_store()
        store.set(FAILURE, bytes(pack((team.rank, portable(error)))))
        end = time.monotonic() + patience
        while store.add(HEARD, 0) < team.size - 1 and time.monotonic() < end:
            told = told or store.check([MAIN_HEARD])
            time.sleep(EVERY_SECONDS / 10)
        told = told or store.check([MAIN_HEARD])
    return told


def listen(team: Team, leave: Callable[[Exception], None]) -> Callable[[], None]:
    """Have `leave` called, in a thread of its own, with what another process says; what ends the listening, and does
    not return where something has been heard. `leave` ends the process."""
    store, over = _open_store(), threading.Event()

    def watch() -> None:
        while not over.wait(EVERY_SECONDS):
            try:
                if not store.check([FAILURE]):
                    continue
                rank, error = unpack(np.frombuffer(store.get(FAILURE), np.uint8))
                if rank == team.rank:
                    return
                if team.main:
                    store.set(MAIN_HEARD, b"1")
                store.add(HEARD, 1)
            except RuntimeError:
                return
            leave(error)

    def deafen() -> None:
        over.set()
        thread.join()  # not to wake up in an interpreter that is gone; one that has heard something leaves

    thread = threading.Thread(target=watch, name="alarm", daemon=True)
    thread.start()
    return deafen


def _open_store() -> Any:
    """A connection of its own: another may be held by whoever waits."""
    from torch.distributed.distributed_c10d import _get_default_store

    store: Any = _get_default_store()
    return store.clone()
