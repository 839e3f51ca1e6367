"""Flat token ids agree with the tokenizer's own, row by row."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chain_core.data import encode
from chain_core.data.encode import LEXICAL_BUCKETS, build_lexical_table, encode_texts, find_shape
from chain_core.data.text import Texts
from chain_core.data.words import split_words
from tests.tiny import _build_tokenizer

WORD = st.text(alphabet="abcxyz '1灯", max_size=6)


@settings(max_examples=60)
@given(st.lists(st.lists(WORD, max_size=8), min_size=1, max_size=7))
def test_tokens_and_first_pieces(rows):
    tokenizer = _build_tokenizer()
    tokenizer.no_truncation()
    expected = [tokenizer.encode(row, is_pretokenized=True) for row in rows]
    encoded = encode_texts(Texts("tokens", pa.array(rows, pa.list_(pa.string()))), tokenizer, 12, lexical=True)
    for number, row in enumerate(rows):
        ids = encoded.input_ids[encoded.offsets[number] : encoded.offsets[number + 1]]
        assert len(ids) == min(len(expected[number].ids), 12)
        assert ids[:-1].tolist() == expected[number].ids[: len(ids) - 1]
        starts = encoded.word_starts[encoded.word_offsets[number] : encoded.word_offsets[number + 1]]
        assert len(starts) == len(row)
        for word, start in enumerate(starts):
            places = [place for place, owner in enumerate(expected[number].word_ids) if owner == word]
            kept = places and places[0] < len(ids) - (len(expected[number].ids) > 12)
            assert start == (places[0] if kept else -1)
    assert encoded.truncated == sum(len(encoding.ids) > 12 for encoding in expected)
    assert encoded.lexical_table.max(initial=0) < LEXICAL_BUCKETS


def test_chunks_join(monkeypatch):
    rows = [["turn", "on"], ["dab"], [], ["light", "off", "light"]]
    texts = Texts("tokens", pa.array(rows, pa.list_(pa.string())))
    whole = encode_texts(texts, _build_tokenizer(), 16, lexical=True)
    monkeypatch.setattr(encode, "CHUNK", 2)
    parts = encode_texts(texts, _build_tokenizer(), 16, lexical=True)
    for name in ("input_ids", "offsets", "word_starts", "word_offsets", "lexical", "lexical_table"):
        assert np.array_equal(getattr(whole, name), getattr(parts, name)), name


def test_pairs_know_their_second_text():
    encoded = encode_texts(Texts("pair", pa.array(["turn on"]), pa.array(["stop"])), _build_tokenizer(), 16)
    assert encoded.token_type_ids.tolist() == [0, 0, 0, 0, 1, 1]
    assert encoded.segments.tolist() == [-1, 0, 0, -1, 1, -1]


def test_plain_text_gets_lexical_rows_when_asked():
    encoded = encode_texts(Texts("text", pa.array(["Turn dab, off"])), _build_tokenizer(), 16, lexical=True)
    assert len(encoded.lexical) == len(encoded.input_ids)
    assert encoded.lexical[0] == 0
    assert (encoded.lexical[1:-1] > 0).all()
    assert len(encoded.word_starts) == 0


@pytest.mark.parametrize(
    ("word", "shape"),
    [("kitchen", "lower"), ("NASA", "upper"), ("Paris", "title"), ("iPhone", "mixed"), ("42", "digits"),
     ("B52", "digits-mixed"), (".", "other"), ("", ""), ("灯", "mixed")],
)  # fmt: skip
def test_shapes(word, shape):
    assert find_shape(word) == shape


def test_case_changes_the_shape_alone():
    table = build_lexical_table(["paris", "Paris"])
    assert table[1][0] != table[3][0]
    assert table[1][1:].tolist() == table[3][1:].tolist()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("turn on, please", ["turn", "on", ",", "please"]),
        ("打开灯 now", ["打", "开", "灯", "now"]),
        ("don't", ["don't"]),
        (" ", []),
    ],
)
def test_split_words(text, words):
    assert split_words(text) == words
