"""What a backbone's name stands for, without holding up who asks: a hub may take long, or never answer."""

from __future__ import annotations

import os
import threading
from concurrent.futures import Future, ThreadPoolExecutor

from chain_core.errors import BackboneError
from chain_core.modeling.backbones.catalogue import BACKBONES, BackboneFacts, read_facts

_POOL = ThreadPoolExecutor(2, thread_name_prefix="backbones")
_ASKED: dict[str, Future[BackboneFacts]] = {}
_LOCK = threading.Lock()


def is_local(name: str) -> bool:
    """Whether a name is a package's or a folder's, which answer at once."""
    return name in BACKBONES or name.startswith((".", "~", "/")) or os.path.isdir(name)


def ask_backbone(name: str) -> BackboneFacts | BackboneError | None:
    """A backbone's facts, why it cannot be had, or None while the hub is still being asked."""
    if is_local(name):
        try:
            return read_facts(name)
        except BackboneError as error:
            return error
    with _LOCK:
        if name not in _ASKED:
            _ASKED[name] = _POOL.submit(read_facts, name)
        asked = _ASKED[name]
    if not asked.done():
        return None
    failure = asked.exception()
    if failure is None:
        return asked.result()
    if isinstance(failure, BackboneError):
        return failure
    return BackboneError("hub_unreachable", name=name, reason=type(failure).__name__)


def forget_backbone(name: str) -> None:
    """Let the next question ask the hub again."""
    with _LOCK:
        _ASKED.pop(name, None)
