"""Changed rows: words and tags stay together, entities stay whole, and nothing is empty."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chain_core.config import AugmentConfig
from chain_core.data.augment import Change, change_rows, list_words
from chain_core.data.changes import match_case
from chain_core.data.synonyms import read_synonyms
from chain_core.data.text import Texts
from chain_core.data.words import split_words
from chain_core.errors import DataError

LISTS = pa.list_(pa.string())
KINDS = ("per", "loc")


@st.composite
def draw_tagged(draw: st.DrawFn) -> list[tuple[list[str], list[str] | None]]:
    """Rows of words that are all different, with BIO tags or without; each word names its tag's entity."""
    rows = []
    for number in range(draw(st.integers(1, 5))):
        words: list[str] = []
        tags: list[str] = []
        for part in range(draw(st.integers(1, 6))):
            kind, length = draw(st.sampled_from([*KINDS, "O"])), draw(st.integers(1, 3))
            words += [f"w{number}x{part}x{place}" for place in range(length)]
            tags += ["O"] * length if kind == "O" else [f"B-{kind}", *[f"I-{kind}"] * (length - 1)]
        rows.append((words, tags if draw(st.booleans()) or not rows else None))
    return rows


def change(rows, config, *, copies=2, seed=0, replacements=None):
    texts = Texts("tokens", pa.array([words for words, _ in rows], LISTS))
    tags = {"tags": pa.array([tags for _, tags in rows], LISTS)}
    numbers = np.tile(np.arange(len(rows)), copies)
    return change_rows(texts, tags, numbers, Change(config, replacements or {}, np.random.default_rng(seed)))


def read_entities(words, tags):
    """Entities as (kind, sorted words); AssertionError where the tags are no BIO."""
    entities: list[tuple[str, list[str]]] = []
    before = "O"
    for word, tag in zip(words, tags, strict=True):
        if tag.startswith("I-"):
            assert before[2:] == tag[2:], (words, tags)
            entities[-1][1].append(word)
        elif tag.startswith("B-"):
            entities.append((tag[2:], [word]))
        before = tag
    return [(kind, sorted(inside)) for kind, inside in entities]


@settings(max_examples=150)
@given(draw_tagged(), st.floats(0, 1), st.floats(0, 1), st.integers(0, 99))
def test_tags_move_with_their_words(rows, delete, swap, seed):
    changed = change(rows, AugmentConfig(delete=delete, swap=swap, replace=0), seed=seed)
    found = zip(changed.rows, changed.texts.first.to_pylist(), changed.tags["tags"].to_pylist(), strict=True)
    for number, words, tags in found:
        before, before_tags = rows[number]
        assert words
        assert set(words) <= set(before)
        assert len(set(words)) == len(words)
        assert words != before
        if delete == 0:
            assert Counter(words) == Counter(before)
        if before_tags is None:
            assert tags is None
            continue
        assert len(tags) == len(words)
        kinds = {word: tag[-3:] for word, tag in zip(before, before_tags, strict=True)}
        assert [tag[-3:] for tag in tags] == [kinds[word] for word in words]
        left = [
            (kind, kept)
            for kind, inside in read_entities(before, before_tags)
            if (kept := [word for word in inside if word in words])
        ]
        assert sorted(read_entities(words, tags)) == sorted(left), "each entity is still one, of the words that stay"


@settings(max_examples=40)
@given(draw_tagged(), st.integers(0, 99))
def test_swaps_leave_a_word_at_most_one_place_away(rows, seed):
    changed = change(rows, AugmentConfig(delete=0, swap=0.7, replace=0), seed=seed)
    for number, words in zip(changed.rows, changed.texts.first.to_pylist(), strict=True):
        before = rows[number][0]
        assert all(abs(before.index(word) - place) <= 1 for place, word in enumerate(words))


def test_everything_deleted_leaves_one_word_with_its_tag():
    rows = [(["a", "b", "c"], ["B-per", "I-per", "I-per"]), (["d"], ["O"])]
    changed = change(rows, AugmentConfig(delete=1, swap=0, replace=0), copies=4)
    assert set(changed.rows) == {0}, "a row of one word stays as it is, so it has no copies"
    assert all(len(words) == 1 for words in changed.texts.first.to_pylist())
    assert changed.tags["tags"].to_pylist() == [["B-per"]] * 4


def test_a_deleted_beginning_does_not_join_its_entity_to_the_one_before():
    rows = [(["a", "b", "c"], ["B-per", "B-per", "I-per"])]
    changed = change(rows, AugmentConfig(delete=0.4, swap=0, replace=0), copies=60)
    seen = dict(zip(map(tuple, changed.texts.first.to_pylist()), changed.tags["tags"].to_pylist(), strict=True))
    assert seen["a", "c"] == ["B-per", "B-per"]


def test_tags_of_another_kind_just_move():
    rows = [(["a", "b", "c", "d"], ["DET", "NOUN", "VERB", "ADV"])]
    changed = change(rows, AugmentConfig(delete=0.3, swap=0.5, replace=0), copies=30)
    own = dict(zip(*rows[0], strict=True))
    for words, tags in zip(changed.texts.first.to_pylist(), changed.tags["tags"].to_pylist(), strict=True):
        assert tags == [own[word] for word in words]


@pytest.mark.parametrize("probability", [0.0, 0.2, 0.7])
def test_probabilities_are_what_they_say(probability):
    rows = [([f"w{number}" for number in range(40)], ["O"] * 40) for _ in range(200)]
    nothing = {"delete": 0.0, "swap": 0.0, "replace": 0.0}
    deleted = change(rows, AugmentConfig(**{**nothing, "delete": probability}), copies=1)
    count = sum(map(len, deleted.texts.first.to_pylist())) + 40 * (200 - len(deleted.rows))
    assert count / 8000 == pytest.approx(1 - probability, abs=0.02)
    table = {f"w{number}": ("other",) for number in range(40)}
    replaced = change(rows, AugmentConfig(**{**nothing, "replace": probability}), copies=1, replacements=table)
    count = sum(words.count("other") for words in replaced.texts.first.to_pylist())
    assert count / 8000 == pytest.approx(probability, abs=0.02)


def test_replacements_of_several_words_stay_in_their_entity():
    rows = [(["fly", "York", "now"], ["O", "B-loc", "O"])]
    table = {"york": ("new york city",)}
    changed = change(rows, AugmentConfig(delete=0, swap=0, replace=1), copies=1, replacements=table)
    assert changed.texts.first.to_pylist() == [["fly", "New", "york", "city", "now"]]
    assert changed.tags["tags"].to_pylist() == [["O", "B-loc", "I-loc", "I-loc", "O"]]


def test_the_same_seed_gives_the_same_copies():
    rows = [([f"w{number}" for number in range(9)], ["O"] * 9)] * 5
    config = AugmentConfig()
    one, two, other = (change(rows, config, seed=seed) for seed in (1, 1, 2))
    assert one.texts.first.equals(two.texts.first)
    assert not one.texts.first.equals(other.texts.first)


@settings(max_examples=60)
@given(st.text("abc d,.'打开", min_size=1, max_size=40).filter(lambda text: bool(split_words(text))), st.integers(0, 9))
def test_texts_keep_their_words(text, seed):
    texts = Texts("text", pa.array([text]))
    config = AugmentConfig(delete=0, swap=0.5, replace=0)
    changed = change_rows(texts, {}, np.zeros(3, np.int64), Change(config, {}, np.random.default_rng(seed)))
    for new in changed.texts.first.to_pylist():
        assert Counter("".join(new.split())) == Counter("".join(text.split()))


def test_texts_are_joined_as_they_were_written():
    texts = Texts("text", pa.array(["turn it (on), please", "打开灯"]))
    config = AugmentConfig(delete=0, swap=0, replace=1)
    table = {"please": ("now",), "开": ("启",)}
    changed = change_rows(texts, {}, np.arange(2), Change(config, table, np.random.default_rng(0)))
    assert changed.texts.first.to_pylist() == ["turn it (on), now", "打启灯"]


def test_both_texts_of_a_pair_change():
    texts = Texts("pair", pa.array(["a b c d", "e f"]), pa.array(["g h i j", ""]))
    config = AugmentConfig(delete=0.5, swap=0, replace=0)
    changed = change_rows(texts, {}, np.tile(np.arange(2), 20), Change(config, {}, np.random.default_rng(0)))
    second = changed.texts.second.to_pylist()
    assert len(second) == len(changed.rows)
    assert all(text == "" for row, text in zip(changed.rows, second, strict=True) if row == 1)
    assert len(set(second)) > 5


def test_case_is_kept():
    assert match_case("Big", "large") == "Large"
    assert match_case("BIG", "large") == "LARGE"
    assert match_case("big", "Paris") == "Paris"
    assert match_case("I", "we") == "We"


def test_words_of_rows():
    texts = Texts("pair", pa.array(["A b", "x"]), pa.array(["c, a", "y"]))
    assert list_words(texts, np.array([0])) == [",", "a", "b", "c"]


def test_synonyms(tmp_path):
    path = tmp_path / "synonyms.txt"
    path.write_text("# a remark, of two\nbig, Large ,huge\n\nhuge, giant\nalone\n高兴，开心\n", encoding="utf-8")
    found = read_synonyms(path)
    assert found["big"] == ("Large", "huge")
    assert found["huge"] == ("big", "Large", "giant")
    assert found["开心"] == ("高兴",)
    assert "alone" not in found
    assert "# a remark" not in found


@pytest.mark.parametrize(
    ("content", "code"), [(None, "missing"), (b"one\ntwo\n", "empty"), (b"\xff\xfe\x00big", "unreadable")]
)
def test_unfit_synonyms(tmp_path, content, code):
    path = tmp_path / "synonyms.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match="synonyms") as caught:
        read_synonyms(path)
    assert caught.value.code == f"synonyms_{code}"


@st.composite
def draw_pointed(draw: st.DrawFn) -> tuple[list[str], list[tuple[int, int]]]:
    """Words that are all different, and runs of them, in words."""
    words = [f"w{place}" + draw(st.sampled_from(["", ",", "-x", "打"])) for place in range(draw(st.integers(1, 9)))]
    first = st.integers(0, len(words) - 1)
    places = draw(
        st.lists(st.tuples(first, first).map(lambda ends: (min(ends), max(ends) + 1)), min_size=2, max_size=2)
    )
    return words, places


@settings(max_examples=100)
@given(st.lists(draw_pointed(), min_size=1, max_size=4), st.integers(0, 9))
def test_places_move_with_their_words(drawn, seed):
    rows = [words for words, _ in drawn]
    config = AugmentConfig(delete=0.3, swap=0.3, replace=0.5)
    table = {f"w{place}": ("much longer", "s") for place in range(9)}
    change = Change(config, table, np.random.default_rng(seed))
    numbers = np.tile(np.arange(len(rows)), 3)
    spans = np.array([[end for place in places for end in place] for _, places in drawn])
    copies = change_rows(Texts("tokens", pa.array(rows, LISTS)), {}, numbers, change, ({"r": spans}, {}))
    for row, words, ends in zip(copies.rows, copies.texts.first.to_pylist(), copies.places["r"], strict=True):
        for side in (0, 2):
            before = rows[row][slice(*spans[row][side : side + 2])]
            assert words[slice(*ends[side : side + 2])] == before


@settings(max_examples=100)
@given(st.lists(draw_pointed(), min_size=1, max_size=4), st.integers(0, 2), st.integers(0, 9))
def test_places_in_texts_move_with_their_words(drawn, inset, seed):
    """Also where a place begins or ends within a word, and where rows have none."""
    texts, spans = [], []
    for words, places in drawn:
        begins = np.cumsum([0, *(len(word) + 1 for word in words)])
        texts.append(" ".join(words))
        spans.append([int(end) for first, last in places for end in (begins[first] + min(inset, 1), begins[last] - 1)])
    ends = np.array([*spans, [-1] * 4])
    change = Change(AugmentConfig(delete=0.3, swap=0.3, replace=0), {}, np.random.default_rng(seed))
    pair = Texts("pair", pa.array(["w0 q"] * (len(texts) + 1)), pa.array([*texts, "a b c d e"]))
    copies = change_rows(pair, {}, np.tile(np.arange(len(ends)), 3), change, ({}, {"r": ends}))
    for row, text, moved in zip(copies.rows, copies.texts.second.to_pylist(), copies.places["r"], strict=True):
        if row == len(texts):
            assert moved.tolist() == [-1] * 4
            continue
        for side in (0, 2):
            assert text[slice(*moved[side : side + 2])] == texts[row][slice(*ends[row][side : side + 2])]


def test_all_words_but_a_place_may_go():
    config = AugmentConfig(delete=1, swap=1, replace=1)
    change = Change(config, {"b": ("x",), "c": ("y",)}, np.random.default_rng(0))
    copies = change_rows(
        Texts("text", pa.array(["a b c d"])), {}, np.zeros(1, np.int64), change, ({"r": np.array([[2, 5]])}, {})
    )
    assert copies.texts.first.to_pylist() == ["b c"]
    assert copies.places["r"].tolist() == [[0, 3]]
