"""Errors where several processes train one run: who else has met one, and how it is handed on."""

from __future__ import annotations

import traceback

import numpy as np

from chain_core.errors import ChainError
from chain_core.modeling.passing import pack, unpack


def agreed(error: Exception) -> Exception:
    """An error that every process raises at the same place."""
    error.agreed = True  # type: ignore[attr-defined]
    return error


def alone(error: Exception) -> Exception:
    """An error that the other processes cannot have met: they wait for this one."""
    error.agreed = False  # type: ignore[attr-defined]
    return error


def is_alone(error: BaseException) -> bool:
    """Whether it is known that no other process has failed with it."""
    return getattr(error, "agreed", None) is False


def is_agreed(error: BaseException) -> bool:
    """Whether it is known that all processes have failed with it."""
    return getattr(error, "agreed", None) is True


def portable(error: Exception) -> Exception:
    """An error that can be passed on, without the tensors that its traceback holds on to."""
    if not isinstance(error, ChainError | OSError):
        error.add_note("".join(traceback.format_exception(error)))
    error = error.with_traceback(None)
    error.__cause__ = error.__context__ = None
    try:
        unpack(np.frombuffer(pack(error), np.uint8))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
