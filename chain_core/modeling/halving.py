"""Passes over rows that are cut in two where the memory does not suffice for them at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

import numpy as np

from chain_core.modeling.device import is_out_of_memory, release_devices

T = TypeVar("T")


class Halving:
    """What was too much once is not tried again: later rows are cut beforehand."""

    def __init__(self, *, allowed: bool = True) -> None:
        """Not `allowed`: memory that does not suffice is an error at once."""
        self._allowed = allowed
        self._most: int | None = None
        """Rows that may suffice; None: as many as there are."""

    def run(self, rows: np.ndarray, compute: Callable[[np.ndarray], T]) -> Iterator[tuple[np.ndarray, T]]:
        """The rows and what `compute` makes of them, in as few parts as can be, in order. Raises what `compute` does
        where the memory does not suffice for a single row."""
        pending = [rows]
        while pending:
            part = pending.pop()
            if self._most is not None and len(part) > self._most:
                pending += np.array_split(part, 2)[::-1]
                continue
            try:
                found = compute(part)
            except (RuntimeError, MemoryError) as error:
                if not self._allowed or len(part) == 1 or not is_out_of_memory(error):
                    raise
                pending.append(part)
                self._most = len(part) // 2
            else:
                yield part, found
                continue
            release_devices()  # not before the error is gone, which holds on to all that was computed
