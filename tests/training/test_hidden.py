"""States that training needs come before it, those of test rows in a file after it; each kept by itself."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import torch

from chain_core.data.encode import encode_texts
from chain_core.data.rows import RowSet
from chain_core.data.text import Texts
from chain_core.modeling.backbones import features
from chain_core.modeling.backbones.catalogue import load_tokenizer
from chain_core.services.rows.prepare import prepare_run
from chain_core.training.evaluate import compute_answers
from chain_core.training.hidden import cut_parts
from tests.tiny import build_commands, write_rows
from tests.training.setup import CPU, FILES, finish, get_ready, write_files

ROWS = [f"{word} {other}" for word in ("red", "warm", "cold") for other in ("light", "hall")]


@pytest.mark.parametrize(
    ("test", "cuts"),
    [
        ([], [(6, False)]),
        ([4, 5], [(4, False), (2, True)]),
        ([2, 3], [(2, False), (2, True), (2, False)]),  # as where copies of train rows come last
        ([0, 1], [(2, True), (4, False)]),
        ([1, 5], [(6, False)]),
        ([5], [(5, False), (1, True)]),
    ],
)
def test_test_rows_are_by_themselves_where_they_stand_together(backbone, test, cuts):
    texts = Texts("text", pa.array(ROWS))
    encoded = encode_texts(texts, load_tokenizer(backbone), 16)
    part = RowSet("", "rows.csv", None, None, texts, (), {"test": np.array(test, np.int64)})
    found = cut_parts([encoded], [part], {"": "test.csv"})
    assert [(part.encoded.rows, part.later) for part in found] == cuts
    assert [part.source for part in found] == ["test.csv" if later else "rows.csv" for _, later in cuts]
    assert np.concatenate([part.encoded.input_ids for part in found]).tolist() == encoded.input_ids.tolist()


def build_mapping(backbone, **sections):
    return {
        "data": FILES,
        "input": {"tokens": "tokens"},
        "heads": {"intent": {"kind": "classification", "column": "intent"}},
        "backbone": {"name": str(backbone)},
        "chain": {"depth": 2, "width": 32, "links": {"kind": "attention"}},
        "train": {"epochs": 2, "batch_size": 16, "precision": "fp32"},
        **sections,
    }


@pytest.fixture
def computed(monkeypatch):
    """How many rows each pass over the backbone is of."""
    counts, before = [], features.run_passes

    def run(lower, encoded, *given):
        counts.append(encoded.rows)
        return before(lower, encoded, *given)

    monkeypatch.setattr(features, "run_passes", run)
    return counts


def complete(ready, tell=lambda event: None):
    return ready.get_builder(tell).complete(ready.feed)


def test_training_does_without_test_rows(backbone, tmp_path, computed):
    write_files(tmp_path)
    ready, told = get_ready(build_mapping(backbone), tmp_path), []
    _, outcome = finish(ready.train())
    assert outcome.best_epoch
    assert computed == [64]
    test = ready.feed.splits["test"]
    blank = ready.feed.build_batch(test)
    assert all(states[blank.mask].isnan().all() for states in blank.hidden.values()), "nothing else may be read there"
    feed = complete(ready, told.append)
    assert computed == [64, 16]
    assert told[0] == {"kind": "phase", "phase": "features"}
    assert (told[-1]["done"], told[-1]["total"]) == (16, 16)
    answers = compute_answers(ready.model, feed, test, CPU, torch.float32)
    assert np.isfinite(answers.confidence["intent", 2]).all()


@pytest.mark.parametrize("kind", ["attention", "linear"])
def test_states_are_those_of_all_rows_together(backbone, tmp_path, monkeypatch, kind):
    """Positions, and vectors where nothing reads positions."""
    write_files(tmp_path)
    mapping = build_mapping(backbone, chain={"depth": 2, "width": 32, "links": {"kind": kind}})
    ready = get_ready(mapping, tmp_path)
    feed = complete(ready)
    monkeypatch.setattr("chain_core.training.hidden._find_cuts", lambda rows, test: [(0, rows, False)])
    together = get_ready(mapping, tmp_path).feed
    assert feed.pooled == (kind == "linear")
    rows = np.array([3, 79, 50, 70])
    ours, theirs = feed.build_batch(rows), together.build_batch(rows)
    for layer, states in ours.hidden.items():
        torch.testing.assert_close(states, theirs.hidden[layer], atol=4e-3, rtol=0)


def test_other_test_rows_leave_the_rest_cached(backbone, tmp_path, computed):
    write_files(tmp_path)
    complete(get_ready(build_mapping(backbone), tmp_path))
    write_rows(tmp_path / "test.jsonl", build_commands(90)[80:])
    complete(get_ready(build_mapping(backbone), tmp_path))
    no_test = build_mapping(backbone, data={"train": "train.jsonl", "validation": "validation.jsonl"})
    get_ready(no_test, tmp_path)
    assert computed == [64, 16, 10]


def test_copies_of_rows_leave_the_rest_cached(backbone, tmp_path, computed):
    write_files(tmp_path)
    complete(get_ready(build_mapping(backbone), tmp_path))
    ready = get_ready(build_mapping(backbone, augment={"copies": 1}), tmp_path)
    complete(ready)
    assert computed == [64, 16, len(ready.feed.splits["train"]) - 50]


def test_rows_that_are_drawn_are_computed_at_once(backbone, tmp_path, computed):
    write_files(tmp_path)
    ready = get_ready(build_mapping(backbone, data={"train": "train.jsonl", "validation": 0.2, "test": 0.2}), tmp_path)
    assert complete(ready) is ready.feed
    assert computed == [50]


def test_nothing_is_told_where_the_model_reads_token_ids(backbone, tmp_path):
    write_files(tmp_path)
    mapping, told = build_mapping(backbone), []
    mapping["backbone"]["tuning"] = "full"
    ready = get_ready(mapping, tmp_path)
    assert complete(ready, told.append) is ready.feed
    assert told == []


def test_several_sets_have_their_test_rows_later(backbone, tmp_path, computed):
    write_files(tmp_path)
    write_rows(tmp_path / "other.jsonl", [{**row, "tokens": row["tokens"][::-1]} for row in build_commands(40)])
    write_rows(tmp_path / "last.jsonl", [{**row, "tokens": row["tokens"][::-1]} for row in build_commands(52)[40:]])
    data = {"train": "other.jsonl", "validation": 0.2, "test": "last.jsonl"}
    mapping = build_mapping(backbone, also={"two": {"data": data, "input": {"tokens": "tokens"}}})
    mapping["heads"]["mood"] = {"kind": "classification", "column": "intent", "data": "two"}
    told = []
    ready = get_ready(mapping, tmp_path, tell=told.append)
    assert computed == [64, 40]
    assert [(e["done"], e["total"]) for e in told if e["kind"] == "progress"][-1] == (104, 104)
    feed = complete(ready)
    assert computed == [64, 40, 16, 12]
    alone = prepare_run(ready.material.config, tmp_path).sets[1]
    assert len(alone.texts) == 52
    batch = feed.build_batch(feed.splits["test"])
    assert all(torch.isfinite(states[batch.mask]).all() for states in batch.hidden.values())
