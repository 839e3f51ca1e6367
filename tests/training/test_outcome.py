"""Which weights of a stage are its best."""

from __future__ import annotations

import pytest
import torch

from chain_core.training.outcome import Best


class Scales(torch.nn.Module):
    """A model of one number."""

    settled = True

    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.zeros(1))

    def get_saved(self):
        return dict(self.named_parameters())


def offer(best, scores):
    """Whether the weights of each epoch were kept; an epoch's weight is its number."""
    kept = []
    for epoch, score in enumerate(scores, start=1):
        best.model.scale.data.fill_(epoch)
        kept.append(best.offer(score, epoch, {}))
    return kept


@pytest.mark.parametrize(
    ("scores", "kept", "epoch", "risen"),
    [
        ([0.5, 0.7, 0.6], [True, True, False], 2, 2),
        ([0.5, 1.0, 1.0, 0.9, 1.0], [True, True, True, False, True], 5, 2),
        ([0.0, 0.0], [True, True], 2, 1),
        ([None, None], [True, True], 2, 2),
    ],
)
def test_the_highest_score_counts_and_of_equals_the_latest(scores, kept, epoch, risen):
    best = Best(Scales())
    assert offer(best, scores) == kept
    assert (best.epoch, best.risen) == (epoch, risen)
    best.restore(best.model)
    assert best.model.scale.item() == epoch


def test_settled_weights_come_first_whatever_they_score():
    best = Best(Scales())
    best.model.settled = False
    offer(best, [0.9])
    best.model.settled = True
    assert best.offer(0.2, 2, {})
    assert not best.offer(0.1, 3, {})
    assert (best.epoch, best.risen, best.score) == (2, 2, 0.2)
