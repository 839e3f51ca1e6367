"""BIO decoding against trying every sequence."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from chain_core.modeling.heads.bio import build_bio_rules, decode_bio

SPACES = [
    ("O", "B-a", "I-a"),
    ("O", "B-a", "B-b", "I-a", "I-b"),
    ("O", "I-a", "B-b", "I-b"),
    ("N", "V"),
]


def is_valid(tags: list[str], space: tuple[str, ...]) -> bool:
    for previous, tag in zip(["O", *tags], tags, strict=False):
        if tag.startswith("I-") and "B-" + tag[2:] in space and previous not in (tag, "B-" + tag[2:]):
            return False
        if tag.startswith("I-") and "B-" + tag[2:] not in space and previous != tag and previous != "O":
            # Such a type can only begin inside, at the start of a row.
            return False
    return True


def search(scores: np.ndarray, mask: np.ndarray, space: tuple[str, ...]) -> float:
    best = -np.inf
    outside = space.index("O") if "O" in space else 0
    for path in itertools.product(range(len(space)), repeat=len(mask)):
        if any(not kept and tag != outside for tag, kept in zip(path, mask, strict=True)):
            continue
        if is_valid([space[tag] for tag in path], space):
            best = max(best, sum(scores[word, tag] for word, tag in enumerate(path) if mask[word]))
    return best


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.sampled_from([SPACES[0], SPACES[1], SPACES[3]]), st.integers(1, 5))
def test_finds_the_likeliest_valid_sequence(seed, space, words):
    random = np.random.default_rng(seed)
    scores = random.normal(size=(2, words, len(space)))
    mask = random.random((2, words)) < 0.8
    tags = decode_bio(scores, mask, build_bio_rules(space))
    for row in range(2):
        found = [space[tag] for tag in tags[row]]
        assert is_valid(found, space)
        score = sum(scores[row, word, tags[row, word]] for word in range(words) if mask[row, word])
        assert np.isclose(score, search(scores[row], mask[row], space))


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.sampled_from(SPACES))
def test_every_row_is_valid_and_masked_words_are_outside(seed, space):
    random = np.random.default_rng(seed)
    mask = random.random((4, 6)) < 0.7
    tags = decode_bio(random.normal(size=(4, 6, len(space))) * 5, mask, build_bio_rules(space))
    assert (tags[~mask] == (space.index("O") if "O" in space else 0)).all()
    if "I-a" in space and "B-a" in space:
        for row in tags:
            assert is_valid([space[tag] for tag in row], space)


def test_no_words():
    assert decode_bio(np.zeros((2, 0, 3)), np.zeros((2, 0), bool), build_bio_rules(SPACES[0])).shape == (2, 0)
