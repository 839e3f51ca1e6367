"""Passes cut where memory is short, with a memory that holds as many rows as the test says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain_core.modeling.halving import Halving


class Memory:
    """Holds `most` rows, and remembers how many it was asked for."""

    def __init__(self, most: int) -> None:
        self.most, self.asked = most, []

    def square(self, rows: np.ndarray) -> np.ndarray:
        self.asked.append(len(rows))
        if len(rows) > self.most:
            raise MemoryError
        return rows**2


@given(sizes=st.lists(st.integers(1, 40), max_size=6), most=st.integers(1, 40))
def test_every_row_is_computed_once_and_in_order(sizes: list[int], most: int) -> None:
    memory, halving = Memory(most), Halving()
    for size in sizes:
        rows = np.arange(size)
        found = list(halving.run(rows, memory.square))
        assert np.array_equal(np.concatenate([part for part, _ in found]), rows)
        assert np.array_equal(np.concatenate([squares for _, squares in found]), rows**2)


def test_what_was_too_much_is_not_tried_again() -> None:
    memory, halving = Memory(3), Halving()
    for _ in range(2):
        assert len(list(halving.run(np.arange(8), memory.square))) == 4
    assert memory.asked == [8, 4, 2, 2, 2, 2, 2, 2, 2, 2]


def test_a_single_row_that_is_too_much_is_an_error() -> None:
    memory = Memory(0)
    with pytest.raises(MemoryError):
        list(Halving().run(np.arange(2), memory.square))
    assert memory.asked == [2, 1]


def test_nothing_is_halved_where_that_is_not_allowed() -> None:
    memory = Memory(1)
    with pytest.raises(MemoryError):
        list(Halving(allowed=False).run(np.arange(4), memory.square))
    assert memory.asked == [4]


def test_other_errors_are_not_taken_for_a_full_memory() -> None:
    asked = []

    def fail(rows: np.ndarray) -> None:
        asked.append(len(rows))
        raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        list(Halving().run(np.arange(4), fail))
    assert asked == [4]
