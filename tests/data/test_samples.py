"""Every sample loads offline, has the heads it promises, and is the same on every machine."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from chain_core import paths
from chain_core.config import DataConfig, InputConfig, merge, resolve_config
from chain_core.data import samples
from chain_core.data.labels import is_bio, read_tags
from chain_core.data.samples import SAMPLES, load_sample
from chain_core.data.schema import build_tasks, infer_columns, suggest_config
from chain_core.data.splits import split_rows
from chain_core.data.store import open_rows, read_table
from chain_core.data.words import split_words
from chain_core.errors import DataError


@pytest.mark.parametrize("name", SAMPLES)
def test_sample_has_its_heads_and_splits(name):
    sample = SAMPLES[name]
    data_set = load_sample(name)
    assert data_set == load_sample(name)
    assert data_set.name == name
    assert data_set.rows == pytest.approx(sample.rows, rel=0.1)
    table = read_table(data_set)
    suggested = suggest_config(infer_columns(table))
    assert tuple(suggested["heads"]) == sample.heads
    draft = merge({**suggested, "data": {"train": data_set.id}}, sample.overrides)
    config = resolve_config(draft)
    tasks = build_tasks(table, config.heads, columns=InputConfig(**suggested["input"]))
    rows = split_rows(table, config.data, tasks)
    assert len(rows["test"]) == pytest.approx(0.2 * data_set.rows, rel=0.1)
    for task in tasks:
        if task.kind == "tagging":
            assert is_bio(task.label_space)
            assert read_tags(table[task.column].combine_chunks())[1] == 0
            assert not task.notes


@pytest.mark.parametrize("name", ["tiny", "smart-home-en", "smart-home-zh"])
def test_sentences_differ_and_intents_are_balanced(name):
    rows = read_table(load_sample(name)).to_pylist()
    sentences = Counter(" ".join(row["tokens"]) for row in rows)
    assert max(sentences.values()) == 1
    intents = Counter(row["intent"] for row in rows)
    assert min(intents.values()) >= 10
    assert max(intents.values()) < 0.2 * len(rows)
    for row in rows:
        assert len(row["tokens"]) == len(row["items" if name == "tiny" else "slots"]) > 0


def test_tokens_are_what_typed_text_is_split_into():
    for row in read_table(load_sample("smart-home-en")).to_pylist():
        assert split_words(" ".join(row["tokens"])) == row["tokens"]
    chinese = read_table(load_sample("smart-home-zh"))["tokens"].combine_chunks().flatten().to_pylist()
    assert np.mean([len(token) == 1 for token in chinese]) > 0.9


def test_slots_cover_the_words_that_fill_them():
    rows = read_table(load_sample("smart-home-en")).to_pylist()
    found = {}
    for row in rows:
        for token, tag in zip(row["tokens"], row["slots"], strict=True):
            found.setdefault(tag, set()).add(token)
    assert found["B-color"] <= {"white", "black", "red", "orange", "yellow", "green", "blue", "purple", "brown",
                                "pink", "turquoise"}  # fmt: skip
    assert "kitchen" in found["B-area"]
    assert "the" not in found["B-area"]


def test_the_seed_makes_the_sentences():
    assert samples.build_guests(50, 1) == samples.build_guests(50, 1)
    assert samples.build_guests(50, 1) != samples.build_guests(50, 2)


def test_news_articles_stand_once():
    texts = read_table(load_sample("bbc-news"))["text"].to_pylist()
    assert len(set(texts)) == len(texts)
    assert not any("\ufffd" in text for text in texts)


def test_a_sample_is_a_source_by_its_name():
    data_set, table = open_rows(DataConfig(train="tiny"), Path())
    assert data_set.id == load_sample("tiny").id
    assert table.num_rows == data_set.rows


def test_unknown_samples_and_missing_packages_say_so(monkeypatch):
    with pytest.raises(DataError) as caught:
        load_sample("tyni")
    assert caught.value.params["nearest"] == "tiny"
    monkeypatch.setattr(paths, "find_spec", lambda _: None)
    with pytest.raises(DataError) as caught:
        load_sample("smart-home-en")
    assert caught.value.code == "sample_package_missing"
    assert "pip install home-assistant-intents" in caught.value.text()
