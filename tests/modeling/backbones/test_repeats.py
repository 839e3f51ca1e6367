"""Rows that read the same are found."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain_core.data.encode import encode_texts
from chain_core.data.text import Texts
from chain_core.modeling.backbones import repeats
from chain_core.modeling.backbones.catalogue import load_tokenizer
from chain_core.modeling.backbones.repeats import cut_groups, find_equal


def encode(backbone, rows):
    return encode_texts(Texts("text", pa.array(rows, pa.string())), load_tokenizer(backbone), 32)


PIECES = st.lists(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 1)), max_size=3), max_size=9)


@given(PIECES)
def test_equal_rows_are_found(backbone, rows):
    """Of the same ids and the same types; a row of no token equals its like."""
    flat = [piece for row in rows for piece in row]
    encoded = replace(
        encode(backbone, []),
        input_ids=np.array([number for number, _ in flat], np.int32),
        token_type_ids=np.array([kind for _, kind in flat], np.int8),
        offsets=np.cumsum([0, *map(len, rows)]).astype(np.int64),
    )
    assert find_equal(encoded).tolist() == [rows.index(row) for row in rows]


@given(st.lists(st.integers(0, 3), max_size=60), st.integers(1, 20))
def test_groups_are_cut_where_they_are_large(kinds, largest):
    """Rows of kind k have k tokens; each group's first row stands for it, and is its own."""
    lengths = np.array(kinds, np.int64)
    first = np.array([kinds.index(kind) for kind in kinds], np.int64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(repeats, "LARGEST_GROUP", largest)
        cut = cut_groups(first, lengths)
    for head in np.unique(cut):
        members = np.flatnonzero(cut == head)
        assert members[0] == head
        assert {kinds[row] for row in members} == {kinds[head]}
        assert len(members) <= max(largest // max(kinds[head], 1), 1)
    for kind in set(kinds):
        assert len(set(cut[lengths == kind])) == -(-kinds.count(kind) // max(largest // max(kind, 1), 1))


def test_of_very_many_rows_none_is_looked_for(backbone, monkeypatch):
    encoded = encode(backbone, ["red", "red", "stop"])
    assert find_equal(encoded).tolist() == [0, 0, 2]
    monkeypatch.setattr(repeats, "LARGEST_SEARCH", 3)
    assert find_equal(encoded).tolist() == [0, 1, 2]
