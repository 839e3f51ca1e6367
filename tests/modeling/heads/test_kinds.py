"""Heads: losses skip what is missing, decoding gives what the logits say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from chain_core.config import HeadConfig
from chain_core.data.schema import Task
from chain_core.modeling.batch import Batch
from chain_core.modeling.heads.head import Place
from chain_core.modeling.heads.kinds import build_head

SPACES = {"classification": ("a", "b", "c"), "multilabel": ("a", "b"), "regression": (), "tagging": ("O", "B-x", "I-x")}
MISSING = {
    "classification": torch.full((2,), -1),
    "multilabel": torch.full((2, 2), float("nan")),
    "regression": torch.full((2,), float("nan")),
    "tagging": torch.full((2, 3), -1),
}


PLACE = Place(16)


def build(kind: str, place: Place = PLACE, **settings):
    config = HeadConfig(kind=kind, column="c", **settings)
    return build_head(Task("t", kind, "c", SPACES[kind]), config, place), config


@pytest.fixture
def batch():
    return Batch(
        rows=np.arange(2),
        mask=torch.tensor([[True] * 5, [True, True, True, False, False]]),
        word_starts=torch.tensor([[1, 2, 3], [1, 0, 0]]),
        word_mask=torch.tensor([[True, True, True], [True, False, False]]),
    )


@pytest.mark.parametrize("kind", SPACES)
def test_nothing_labelled_is_no_loss_and_no_gradient(kind, batch):
    head, _ = build(kind)
    states = torch.randn(2, 5, 16)
    loss = head.compute_loss(head(states, batch), MISSING[kind], batch)
    loss.backward()
    assert loss.item() == 0
    assert all(p.grad is None or not p.grad.abs().any() for p in head.parameters())


@pytest.mark.parametrize("kind", SPACES)
def test_dropout_changes_what_a_head_says_while_it_trains(kind, batch):
    states = torch.randn(2, 5, 16)
    dropping, plain = (build(kind, dropout=share)[0].train() for share in (0.5, 0.0))
    assert not torch.equal(dropping(states, batch), dropping(states, batch))
    assert torch.equal(plain(states, batch), plain(states, batch))
    dropping.eval()
    assert torch.equal(dropping(states, batch), dropping(states, batch))


def test_classification_loss_is_cross_entropy_over_labelled_rows(batch):
    head, _ = build("classification", label_smoothing=0.1)
    logits = torch.randn(2, 3)
    loss = head.compute_loss(logits, torch.tensor([-1, 2]), batch)
    torch.testing.assert_close(loss, F.cross_entropy(logits[1:], torch.tensor([2]), label_smoothing=0.1))


def test_tagging_loss_skips_words_without_a_piece(batch):
    head, _ = build("tagging")
    logits = torch.randn(2, 3, 3)
    loss = head.compute_loss(logits, torch.tensor([[0, 1, 2], [1, 1, 1]]), batch)
    kept = torch.cat([logits[0], logits[1, :1]])
    torch.testing.assert_close(loss, F.cross_entropy(kept, torch.tensor([0, 1, 2, 1])))


def test_tagging_reads_first_pieces(batch):
    head, _ = build("tagging")
    states = torch.randn(2, 5, 16)
    head.eval()
    torch.testing.assert_close(head(states, batch)[0], head.out(head.norm(states[0, 1:4])))


def test_multilabel_skips_rows_without_labels(batch):
    head, _ = build("multilabel")
    logits = torch.randn(2, 2)
    loss = head.compute_loss(logits, torch.tensor([[float("nan")] * 2, [1.0, 0.0]]), batch)
    torch.testing.assert_close(loss, F.binary_cross_entropy_with_logits(logits[1:], torch.tensor([[1.0, 0.0]])))


def test_regression_learns_in_deviations_and_answers_in_units(batch):
    head, config = build("regression")
    head.fit(config, np.array([10.0, 30.0, np.nan], np.float32))
    decoded = head.decode(torch.tensor([[0.0], [1.0]]), batch)
    assert decoded.values.tolist() == [20.0, 30.0]
    assert head.compute_loss(torch.tensor([[1.0], [0.0]]), torch.tensor([30.0, 20.0]), batch).item() == 0


def test_balanced_weights_are_scikit_learns(batch):
    from sklearn.utils.class_weight import compute_class_weight

    labels = np.array([0, 0, 0, 1, 2, 2, -1])
    head, config = build("classification", class_weights="balanced")
    head.fit(config, labels)
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels[labels >= 0])
    np.testing.assert_allclose(head.class_weights.numpy(), expected, rtol=1e-6)


def test_decoding(batch):
    head, _ = build("classification")
    decoded = head.decode(torch.tensor([[0.0, 5.0, 0.0], [3.0, 0.0, 0.0]]), batch)
    assert decoded.values.tolist() == [1, 0]
    np.testing.assert_allclose(decoded.probabilities.sum(1), 1, rtol=1e-6)
    tagging, _ = build("tagging")
    logits = torch.full((2, 3, 3), -5.0)
    logits[:, :, 0] = -6.0
    logits[:, :, 2] = 5.0  # all inside: not valid, so the first begins
    tags = tagging.decode(logits, batch)
    assert tags.values.tolist() == [[1, 2, 2], [1, 0, 0]]
    assert (tags.confidence < 0.01).all()


def test_a_pair_is_pooled_text_by_text(batch):
    head, _ = build("classification", Place(16, pair=True))
    head.eval()
    segments = torch.tensor([[-1, 0, 0, 1, -1], [-1, 1, 1, -1, -1]], dtype=torch.int8)
    states = torch.randn(2, 5, 16)
    pooled = head.pool(states, segments)
    u, v = head.pool.pool(states[:1, 1:3], torch.ones(1, 2, dtype=torch.bool)), states[0, 3].repeat(2)[None]
    torch.testing.assert_close(pooled[:1], torch.cat([u, v, (u - v).abs(), u * v], 1))
    assert not pooled[1, :32].any()  # its first text is empty
    logits = head(states, replace(batch, segments=segments))
    torch.testing.assert_close(logits, head.out(head.pool(head.norm(states), segments)))


def test_a_decoder_is_pooled_at_its_last_position(batch):
    head, _ = build("regression", Place(16, causal=True))
    states = torch.randn(2, 5, 16)
    pooled = head.pool(states, batch.mask)
    torch.testing.assert_close(pooled[:, :16], torch.stack([states[0, 4], states[1, 2]]))


def test_crf_takes_the_row_s_words_together(batch):
    head, _ = build("tagging", crf=True)
    torch.nn.init.normal_(head.crf.steps, std=0.1)
    logits, labels = torch.randn(2, 3, 3), torch.tensor([[0, 1, 2], [1, -1, -1]])
    torch.testing.assert_close(
        head.compute_loss(logits, labels, batch), head.crf.compute_loss(logits, labels, batch.word_mask)
    )
    assert head.count_known(labels, batch) == 4
    decoded = head.decode(logits, batch)
    assert decoded.values.shape == (2, 3)
    assert (decoded.values[1, 1:] == 0).all()
    assert ((decoded.confidence > 0) & (decoded.confidence <= 1)).all()


@pytest.mark.parametrize("kind", ["classification", "multilabel", "tagging"])
def test_focal_counts_sure_examples_less(kind, batch):
    labels = {"classification": torch.tensor([0, 1]), "multilabel": torch.tensor([[1.0, 0], [0, 1]])}
    labels["tagging"] = torch.tensor([[0, 1, 2], [1, -1, -1]])
    (plain, _), (focal, _) = build(kind), build(kind, focal=2.0)
    states = torch.randn(2, 5, 16)
    logits = plain(states, batch)
    assert focal.compute_loss(logits, labels[kind], batch) < plain.compute_loss(logits, labels[kind], batch)
