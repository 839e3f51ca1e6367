"""Batches cut out of flat arrays equal what a loop over rows would build."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch

from chain_core.data.encode import encode_texts
from chain_core.data.text import Texts
from chain_core.modeling.backbones.catalogue import load_tokenizer
from chain_core.modeling.batch import build_batch

SENTENCES = [["turn", "on", "the", "light"], [], ["bad"], ["", "dab", "kitchen"], ["day"] * 30]


@pytest.fixture
def encoded(backbones):
    texts = Texts("tokens", pa.array(SENTENCES, pa.list_(pa.string())))
    return encode_texts(texts, load_tokenizer(backbones["bert"]), 16, lexical=True)


def test_ids_mask_and_words(encoded):
    rows = np.array([4, 0, 3])
    batch = build_batch(encoded, rows)
    for index, row in enumerate(rows):
        flat = encoded.input_ids[encoded.offsets[row] : encoded.offsets[row + 1]]
        assert batch.input_ids[index][batch.mask[index]].tolist() == flat.tolist()
        assert (batch.input_ids[index][~batch.mask[index]] == 0).all()
        assert int(batch.mask[index].sum()) == len(flat)
    assert batch.word_mask.sum(1).tolist() == [14, 4, 2]
    assert encoded.truncated == 1
    # An empty token has no piece; the words after it keep their own places.
    assert batch.word_mask[2][:3].tolist() == [False, True, True]


def test_hidden_states_come_from_their_rows(encoded):
    states = np.arange(len(encoded.input_ids) * 2, dtype=np.float16).reshape(-1, 2)
    batch = build_batch(encoded, np.array([2, 0]), hidden={6: states})
    assert batch.hidden[6][0][batch.mask[0]].tolist() == states[encoded.offsets[2] : encoded.offsets[3]].tolist()
    assert batch.hidden[6].shape == (2, 6, 2)


def test_a_row_without_a_token_has_no_state(encoded):
    """Its place in the flat arrays is that of the next row, whose states may not be known yet."""
    lengths = encoded.lengths.copy()
    bare = replace(encoded, offsets=np.array([0, lengths[0], lengths[0], *(lengths[0] + np.cumsum(lengths[2:]))]))
    states = np.full((len(encoded.input_ids), 2), np.nan, np.float16)
    states[: lengths[0]] = 1
    batch = build_batch(bare, np.array([0, 1]), hidden={6: states})
    assert batch.mask.any(1).tolist() == [True, False]
    assert batch.hidden[6][1].eq(0).all()
    assert batch.hidden[6][0].eq(1).all()


def test_rows_without_a_word_or_a_token(backbones):
    texts = Texts("tokens", pa.array([[], []], pa.list_(pa.string())))
    encoded = encode_texts(texts, load_tokenizer(backbones["bert"]), 16)
    batch = build_batch(encoded, np.arange(2))
    assert batch.word_mask.tolist() == [[False], [False]]
    assert batch.word_starts.tolist() == [[0], [0]]
    empty = replace(encoded, input_ids=encoded.input_ids[:0], token_type_ids=encoded.token_type_ids[:0],
                    offsets=np.zeros(3, np.int64))  # fmt: skip
    bare = build_batch(empty, np.arange(2))
    assert (bare.input_ids.tolist(), bare.mask.tolist()) == ([[0], [0]], [[False], [False]])


def test_pooled_vectors(encoded):
    vectors = np.arange(10, dtype=np.float16).reshape(5, 2)
    batch = build_batch(encoded, np.array([3, 1]), hidden={6: vectors}, pooled=True)
    assert batch.hidden[6].tolist() == [[[6, 7]], [[2, 3]]]
    assert batch.mask.tolist() == [[True], [True]]


def test_labels_are_padded_with_missing(encoded):
    tags = (np.array([5, 6, 7, 8, 1]), np.array([0, 4, 4, 5, 5, 5]))
    batch = build_batch(encoded, np.array([0, 1, 2]), labels={"slots": tags, "intent": np.array([3, -1, 4, 0, 0])})
    assert batch.labels["slots"].tolist() == [[5, 6, 7, 8], [-1] * 4, [1, -1, -1, -1]]
    assert batch.labels["intent"].tolist() == [3, -1, 4]


def test_lexical_buckets_tell_first_pieces_and_words_apart(encoded):
    batch = build_batch(encoded, np.array([0, 3]))
    assert (batch.lexical[0][0] == 0).all()  # [CLS]
    first, second = batch.lexical[1][1], batch.lexical[1][2]  # d ##a of dab
    assert not torch.equal(first, second)
    assert torch.equal(first[1:], second[1:])


def test_segments_end_where_a_row_does(backbones):
    pairs = Texts("pair", pa.array(["turn on", "a b c"]), pa.array(["stop", ""]))
    batch = build_batch(encode_texts(pairs, load_tokenizer(backbones["bert"]), 16), np.array([1, 0]))
    assert batch.segments is not None
    assert batch.segments[0].tolist() == [-1, 0, 0, 0, -1, -1]
    assert batch.segments[1].tolist() == [-1, 0, 0, -1, 1, -1]


@pytest.mark.parametrize("width", [1, 3, 4, 32])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_states_are_gathered_whatever_their_width(encoded, width, dtype):
    states = np.random.default_rng(0).standard_normal((len(encoded.input_ids), width)).astype(dtype)
    batch = build_batch(encoded, np.array([2, 0]), hidden={1: states})
    for place, row in enumerate((2, 0)):
        expected = states[encoded.offsets[row] : encoded.offsets[row + 1]]
        np.testing.assert_array_equal(batch.hidden[1][place][batch.mask[place]].numpy(), expected)
