"""The relation head against a loop over rows."""

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

SPANS = torch.tensor([[0, 1, 3, 5], [2, 3, 0, 1], [-1, -1, -1, -1], [0, 1, 7, 9]])


@pytest.fixture
def batch() -> Batch:
    """Words 0 … 5 of four rows, the fourth word in two pieces; special tokens around them."""
    begins = torch.tensor([[-1, 0, 1, 2, 3, 3, 4, 5, -1]] * 4, dtype=torch.int32)
    return Batch(
        rows=np.arange(4),
        mask=torch.ones(4, 9, dtype=torch.bool),
        begins=begins,
        ends=torch.where(begins < 0, -1, begins + 1),
        spans={"t": SPANS},
    )


def build(**settings):
    task = Task("t", "relation", "c", ("x", "y", "z"))
    return build_head(task, HeadConfig(kind="relation", column="c", **settings), Place(8)).eval()


def test_features_are_both_spans_and_what_is_between(batch) -> None:
    head, states = build(), torch.randn(4, 9, 8)
    logits, normed = head(states, batch), head.norm(states)
    expected = torch.cat([normed[0, 1], normed[0, 4:7].mean(0), normed[0, 2:4].mean(0)])
    torch.testing.assert_close(logits[0], head.out(expected))
    turned = torch.cat([normed[1, 3], normed[1, 1], normed[1, 2]])
    torch.testing.assert_close(logits[1], head.out(turned))


def test_rows_without_whole_spans_teach_nothing(batch) -> None:
    head, states = build(), torch.randn(4, 9, 8)
    labels = torch.tensor([1, -1, 2, 0])
    logits = head(states, batch)
    torch.testing.assert_close(head.compute_loss(logits, labels, batch), F.cross_entropy(logits[:1], labels[:1]))
    assert head.count_known(labels, batch) == 1


def test_a_row_without_spans_gets_no_label(batch) -> None:
    head = build()
    decoded = head.decode(head(torch.randn(4, 9, 8), batch).detach(), batch)
    assert decoded.values[2] == -1
    assert decoded.confidence[2] == 0
    assert (decoded.values[[0, 1, 3]] >= 0).all()
    np.testing.assert_allclose(decoded.probabilities.sum(1), 1, rtol=1e-5)


def test_spans_are_those_of_a_pair_s_first_text(batch) -> None:
    head, states = build(), torch.randn(4, 9, 8)
    segments = torch.tensor([[-1, 0, 0, 0, 1, 1, 1, 1, -1]] * 4, dtype=torch.int8)
    first, second, _ = head._find_masks(replace(batch, segments=segments))
    assert first[0].any()
    assert not second[0].any()
    assert head(states, batch).shape == (4, 3)


def test_rows_of_another_data_set_have_no_spans(batch) -> None:
    head = build()
    alone = replace(batch, spans={})
    logits = head(torch.randn(4, 9, 8), alone).detach()
    assert head.decode(logits, alone).values.tolist() == [-1] * 4
    assert head.count_known(torch.zeros(4, dtype=torch.int64), alone) == 0
