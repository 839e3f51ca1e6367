"""The span head against a loop over all spans."""

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
from chain_core.modeling.heads.span import LONGEST_WORDS, NEVER, find_searched

# [CLS] q1 [SEP] c0 c1a c1b c2 [SEP], and a shorter row; characters of the second text.
SEGMENTS = [[-1, 0, -1, 1, 1, 1, 1, -1], [-1, 0, 0, -1, 1, -1, -1, -1]]
BEGINS = [[-1, 0, -1, 0, 4, 6, 9, -1], [-1, 0, 3, -1, 0, -1, -1, -1]]
ENDS = [[-1, 3, -1, 3, 6, 8, 12, -1], [-1, 2, 5, -1, 4, -1, -1, -1]]


@pytest.fixture
def batch() -> Batch:
    return Batch(
        rows=np.arange(2),
        mask=torch.tensor([[True] * 8, [True] * 6 + [False] * 2]),
        segments=torch.tensor(SEGMENTS, dtype=torch.int8),
        begins=torch.tensor(BEGINS, dtype=torch.int32),
        ends=torch.tensor(ENDS, dtype=torch.int32),
    )


def build(*, optional: bool = True, **settings):
    task = Task("t", "span", "answer", searched="context", optional=optional)
    return build_head(task, HeadConfig(kind="span", column="answer", **settings), Place(16)).eval()


def test_loss_is_the_mean_of_both_ends(batch) -> None:
    head = build()
    logits = head(torch.randn(2, 8, 16), batch)
    assert logits.shape == (2, 9, 2)
    # Characters 4 … 12 begin at position 4 and end at position 6; the second row has no answer.
    labels = torch.tensor([[4, 12], [0, 0]])
    ends = [F.cross_entropy(logits[:, :, side], torch.tensor([place, 0])) for side, place in ((0, 5), (1, 7))]
    torch.testing.assert_close(head.compute_loss(logits, labels, batch), torch.stack(ends).mean())
    assert head.count_known(labels, batch) == 2


@pytest.mark.parametrize(
    ("labels", "optional", "known"),
    [
        ([[-1, -1], [0, 4]], True, 1),
        ([[4, 13], [0, 4]], True, 1),
        ([[0, 0], [0, 4]], False, 1),
        ([[0, 3], [0, 0]], True, 2),
    ],
)
def test_what_is_missing_or_cut_off_teaches_nothing(batch, labels, optional, known) -> None:
    head = build(optional=optional)
    labels = torch.tensor(labels)
    assert head.count_known(labels, batch) == known
    logits = head(torch.randn(2, 8, 16), batch)
    loss = head.compute_loss(logits, labels, batch)
    loss.backward()
    assert 0 <= loss < 100
    assert head.compute_loss(logits, torch.full((2, 2), -1), batch).item() == 0


def test_decoding_weighs_every_span(batch) -> None:
    head = build()
    for seed in range(20):
        torch.manual_seed(seed)
        logits = head(torch.randn(2, 8, 16), batch).detach() * 3
        decoded = head.decode(logits, batch)
        for row in range(2):
            places = [place for place in range(8) if SEGMENTS[row][place] == 1]
            scores = {(0, 0): logits[row, 0].sum().item()}
            for i in places:
                for j in places:
                    if i <= j:
                        key = BEGINS[row][i], ENDS[row][j]
                        scores[key] = (logits[row, 1 + i, 0] + logits[row, 1 + j, 1]).item()
            best = max(scores, key=scores.__getitem__)
            assert tuple(decoded.values[row]) == best
            total = np.exp(np.array(list(scores.values()))).sum()
            assert decoded.confidence[row] == pytest.approx(np.exp(scores[best]) / total, abs=1e-4)


def test_without_rows_without_answers_there_is_always_one(batch) -> None:
    head = build(optional=False)
    logits = head(torch.randn(2, 8, 16), batch).detach()
    assert (logits[:, 0] <= NEVER).all()
    assert (head.decode(logits, batch).values[:, 1] > 0).all()


def test_an_answer_is_no_longer_than_it_may_be() -> None:
    words = LONGEST_WORDS + 10
    begins = torch.arange(words, dtype=torch.int32)[None] * 2
    batch = Batch(np.arange(1), torch.ones(1, words, dtype=torch.bool), begins=begins, ends=begins + 1)
    logits = torch.zeros(1, words + 1, 2)
    logits[0, 1, 0] = logits[0, -1, 1] = 9.0  # from the first word to the last
    begin, end = build(optional=False).decode(logits, batch).values[0]
    assert end - begin < 2 * LONGEST_WORDS


def test_smoothing_spreads_over_what_is_searched(batch) -> None:
    head, plain = build(label_smoothing=0.3, optional=False), build(optional=False)
    logits, labels = plain(torch.randn(2, 8, 16), batch), torch.tensor([[4, 12], [-1, -1]])
    chances = logits[0, 4:8].log_softmax(0)
    expected = -0.7 * (chances[1, 0] + chances[3, 1]) / 2 - 0.3 * chances.mean()
    torch.testing.assert_close(head.compute_loss(logits, labels, batch), expected)


def test_a_decoder_says_none_at_its_last_position(batch) -> None:
    task = Task("t", "span", "answer", optional=True)
    head = build_head(task, HeadConfig(kind="span", column="answer"), Place(16, causal=True)).eval()
    states = torch.randn(2, 8, 16)
    none = head.out(head.norm(states))[:, :, 2]
    torch.testing.assert_close(head(states, batch)[:, 0, 0], torch.stack([none[0, 7], none[1, 5]]))


def test_pairs_and_single_texts_in_one_batch(batch) -> None:
    """A row without a second text is searched itself."""
    single = torch.tensor([SEGMENTS[0], [-1, 0, 0, -1, 0, -1, -1, -1]], dtype=torch.int8)
    searched = find_searched(replace(batch, segments=single))
    assert searched[0].tolist() == [segment == 1 for segment in SEGMENTS[0]]
    assert searched[1].tolist() == [begin >= 0 for begin in BEGINS[1]]
