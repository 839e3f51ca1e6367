"""Encoded rows joined and cut apart."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain_core.data.encode import LEXICAL_FEATURES, encode_texts
from chain_core.data.encoded_rows import join_encoded, slice_inputs
from chain_core.data.text import Texts
from chain_core.modeling.backbones.catalogue import load_tokenizer
from chain_core.modeling.batch import build_batch

TOKENS = Texts("tokens", pa.array([["turn", "on"], ["stop", "the", "music"]], pa.list_(pa.string())))
TEXTS = Texts("text", pa.array(["good day", "red", "a b c"], pa.string()))
PAIRS = Texts("pair", pa.array(["the light"], pa.string()), pa.array(["off"], pa.string()))


@pytest.mark.parametrize("lexical", [False, True])
def test_joined_rows_are_what_each_set_encodes(backbone, lexical: bool) -> None:
    tokenizer = load_tokenizer(backbone)
    parts = [encode_texts(texts, tokenizer, 32, lexical=lexical) for texts in (TOKENS, TEXTS, PAIRS)]
    joined = join_encoded(parts)
    assert joined.rows == 6
    assert joined.lexical_table.shape[1] == LEXICAL_FEATURES
    start = 0
    for part in parts:
        own, same = (build_batch(whole, rows) for whole, rows in (
            (part, np.arange(part.rows)), (joined, start + np.arange(part.rows)),
        ))  # fmt: skip
        for name in ("input_ids", "token_type_ids", "mask", *(["lexical"] if lexical else [])):
            assert getattr(own, name).tolist() == getattr(same, name).tolist()
        assert own.word_starts.tolist() == same.word_starts.tolist()
        assert own.word_mask.tolist() == same.word_mask.tolist()
        start += part.rows


def encode(backbone, rows, **options):
    return encode_texts(Texts("text", pa.array(rows, pa.string())), load_tokenizer(backbone), 32, **options)


@given(bounds=st.tuples(st.integers(0, 5), st.integers(0, 5)).map(sorted))
def test_a_slice_is_what_the_backbone_reads_of_its_rows(backbone, bounds):
    whole = encode(backbone, ["turn on the light", "", "stop", "good day good day", "red"], lexical=True)
    part = slice_inputs(whole, *bounds)
    assert part.rows == bounds[1] - bounds[0]
    for row in range(part.rows):
        own, same = build_batch(part, np.array([row])), build_batch(whole, np.array([bounds[0] + row]))
        for name in ("input_ids", "token_type_ids", "mask"):
            assert getattr(own, name).tolist() == getattr(same, name).tolist()


def test_a_slice_has_the_key_that_its_rows_have_by_themselves(backbone):
    rows = ["turn on the light", "stop", "good day", "red"]
    whole, alone = encode(backbone, rows), encode(backbone, rows[1:3])
    assert slice_inputs(whole, 1, 3).compute_key() == alone.compute_key()
    assert slice_inputs(whole, 0, 4) is whole
