"""A vision transformer's states feed a chain like any other: links and heads see sequences, masks and a grid."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from chain_core.config import LINK_KINDS, resolve_config
from chain_core.data.schema import Task
from chain_core.modeling.backbones.backbone import load_backbone
from chain_core.modeling.backbones.catalogue import read_facts
from chain_core.modeling.backbones.shapes import read_shapes
from chain_core.modeling.batch import Batch
from chain_core.modeling.chain import Chain, count_parameters
from chain_core.modeling.links.counts import count_links
from tests.tiny import save_tiny_vit

TASKS = (Task("a", "classification", "a", ("x", "y", "z")),)


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """Facts, and the states of 4 images: layer -> (4, 1 + 3 x 2, 32)."""
    facts = read_facts(str(save_tiny_vit(tmp_path_factory.mktemp("vit"))))
    torch.manual_seed(0)
    with torch.no_grad():
        output = load_backbone(facts).eval()(pixel_values=torch.randn(4, 3, 6, 4), output_hidden_states=True)
    return facts, dict(enumerate((*output.hidden_states[:-1], output.last_hidden_state)))


def build(facts, links):
    config = resolve_config(
        {
            "data": {"train": "t"},
            "input": {"text": "w"},
            "chain": {"depth": 2, "width": 24, "links": links},
            "heads": {"a": {"kind": "classification", "column": "a", "depths": [0, 1, 2], "share": True}},
        }
    )
    torch.manual_seed(1)
    return config, Chain(config, TASKS, facts).eval()


def compute_gradients(chain, hidden):
    batch = Batch(np.arange(4), torch.ones(4, 7, dtype=torch.bool), hidden=hidden, grid=(3, 2))
    head, labels = chain.get_head("a", 2), torch.tensor([0, 1, 2, 1])
    loss = sum(head.compute_loss(logits, labels, batch) for logits in chain(hidden, batch).values())
    return loss, torch.autograd.grad(loss, [p for p in chain.parameters() if p.requires_grad])


@pytest.mark.parametrize("kind", LINK_KINDS)
def test_cached_states_train_as_fresh_ones(seen, kind):
    """A cache keeps float16: losses agree to 1e-3, gradients to 1 % of their length."""
    facts, hidden = seen
    assert facts.grid
    _, chain = build(facts, {"kind": kind, "init": "random", "kernel": 3})
    fresh, gradients = compute_gradients(chain, hidden)
    cached, others = compute_gradients(chain, {layer: state.half() for layer, state in hidden.items()})
    torch.testing.assert_close(cached, fresh, rtol=1e-3, atol=1e-3)
    for mine, theirs in zip(gradients, others, strict=True):
        assert (mine - theirs).norm() <= 0.01 * mine.norm() + 1e-5


@pytest.mark.parametrize("kind", LINK_KINDS)
def test_counts_on_a_grid_are_exact(seen, kind):
    facts, _ = seen
    config, chain = build(facts, {"kind": kind, "kernel": 3, "density": 0.7})
    counts = count_links(config, facts, read_shapes(facts.folder, 4))
    assert [count.parameters for count in counts] == [count_parameters(cell) for cell in chain.cells]


def test_a_patch_hears_its_neighbours_alone(seen):
    """What changes in the lower right patch reaches its neighbours on the grid alone."""
    facts, hidden = seen
    _, chain = build(facts, {"kind": "conv", "init": "random", "kernel": 3})
    batch = Batch(np.arange(4), torch.ones(4, 7, dtype=torch.bool), grid=(3, 2))
    tap = chain.taps[0]
    moved = {**hidden, tap: hidden[tap].clone()}
    moved[tap][:, 6] += torch.randn(32)  # the last patch: row 2, column 1
    change = (chain.compute_states(moved, batch)[1] - chain.compute_states(hidden, batch)[1]).abs().sum((0, 2))
    assert [position for position in range(7) if change[position] > 1e-4] == [3, 4, 5, 6]
