"""States of several data sets read as one array."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain_core.modeling.joined import Joined, join_states, take_states


@given(
    st.lists(st.tuples(st.integers(0, 6), st.sampled_from([np.float16, np.float32])), min_size=1, max_size=4),
    st.integers(1, 9), st.integers(0, 99),
)  # fmt: skip
def test_parts_are_read_as_one(sizes, width, seed):
    random = np.random.default_rng(seed)
    parts = [random.normal(size=(size, width)).astype(kind) for size, kind in sizes]
    states, whole = join_states(parts), np.concatenate([part for part in parts if len(part)] or parts[:1])
    assert states.shape == whole.shape
    assert states.nbytes == sum(part.nbytes for part in parts)
    if not len(whole):
        return
    for shape in ((7,), (2, 5), (0,)):
        index = random.integers(0, len(whole), shape)
        taken = take_states(states, index)
        np.testing.assert_array_equal(taken, whole[index])
        assert taken.dtype == whole.dtype


def test_one_part_stays_the_array_that_it_is():
    part = np.zeros((3, 4), np.float16)
    assert join_states([part, part[:0]]) is part
    assert isinstance(join_states([part, part]), Joined)


def test_a_place_beyond_the_last_is_an_error():
    with pytest.raises(IndexError):
        take_states(join_states([np.ones((2, 4)), np.ones((2, 4))]), np.array([4]))
