"""Heads at their depths: shared, mixed, bridged; and chains that grow."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from chain_core.config import resolve_config
from chain_core.data.schema import Task
from chain_core.modeling.backbones.catalogue import BackboneFacts
from chain_core.modeling.batch import Batch
from chain_core.modeling.chain import Chain, count_parameters

TASKS = (Task("a", "classification", "a", ("x", "y", "z")),)
WIDTH, HIDDEN, LAYERS = 16, 24, 4


def build_chain(tmp_path, head, *, depth=3, width=WIDTH, links=None, **more):
    heads = {"a": {"kind": "classification", "column": "a", **head}}
    config = resolve_config(
        {
            "data": {"train": "t"},
            "input": {"tokens": "w"},
            "chain": {"depth": depth, "width": width, "links": links or {"kind": "attention"}, **more},
            "heads": heads,
        }
    )
    facts = BackboneFacts("b", tmp_path, "bert", LAYERS, HIDDEN, 4 * HIDDEN, 99, 128, 1000)
    torch.manual_seed(3)
    return Chain(config, TASKS, facts).eval()


@pytest.fixture
def inputs():
    torch.manual_seed(0)
    hidden = {layer: torch.randn(2, 5, HIDDEN) for layer in range(LAYERS + 1)}
    return hidden, Batch(None, torch.arange(5) < torch.tensor([[5], [3]]))


def test_a_shared_head_is_one_object_whose_gradients_add_up(tmp_path, inputs):
    chain = build_chain(tmp_path, {"depths": [1, 2, 3], "share": True}, links={"kind": "attention", "init": "random"})
    assert chain.keys == [("a", 1), ("a", 2), ("a", 3)]
    head = chain.get_head("a", 1)
    assert head is chain.get_head("a", 3)
    assert len({id(p) for p in chain.parameters()}) == len(chain.state_dict()) - sum(1 for _ in chain.buffers())
    states = chain.compute_states(*inputs)
    labels = torch.tensor([0, 2])
    weight = head.out.weight
    together = sum(F.cross_entropy(logits, labels) for logits in chain(*inputs).values())
    apart = [F.cross_entropy(head(states[depth], inputs[1]), labels) for depth in (1, 2, 3)]
    torch.testing.assert_close(together, sum(apart))
    gradients = [torch.autograd.grad(loss, weight, retain_graph=True)[0] for loss in apart]
    torch.testing.assert_close(torch.autograd.grad(together, weight)[0], sum(gradients))


def test_a_bridge_leads_from_the_backbone_only_where_widths_differ(tmp_path, inputs):
    narrow = build_chain(tmp_path, {"depths": [0, 3], "share": True})
    assert {key: tuple(value.shape) for key, value in narrow(*inputs).items()} == {("a", 0): (2, 3), ("a", 3): (2, 3)}
    assert narrow.heads[0].bridge is not None
    assert build_chain(tmp_path, {"depths": [0, 3], "share": True}, width=HIDDEN).heads[0].bridge is None
    assert build_chain(tmp_path, {"depths": [0], "share": True}).heads[0].bridge is None
    assert all(seat.bridge is None for seat in build_chain(tmp_path, {"depths": [0, 3]}).heads)


def test_a_mixture_is_elmos(tmp_path, inputs):
    links = {"kind": "attention", "init": "random"}
    chain = build_chain(tmp_path, {"depths": [0, 1, 3], "mixture": True}, links=links)
    assert chain.keys == [("a", 3)]
    seat = chain.heads[0]
    with torch.no_grad():
        seat.mixture.weights.copy_(torch.tensor([0.5, -1.0, 2.0]))
        seat.mixture.scale.fill_(1.7)
    states = chain.compute_states(*inputs)
    shares = torch.tensor([0.5, -1.0, 2.0]).softmax(0)
    mixed = 1.7 * (shares[0] * seat.bridge(states[0]) + shares[1] * states[1] + shares[2] * states[3])
    logits = chain(*inputs)["a", 3]
    torch.testing.assert_close(logits, seat.head(mixed, inputs[1]))
    logits.sum().backward()
    assert seat.mixture.weights.grad.abs().sum() > 0
    assert seat.mixture.scale.grad.abs() > 0


def test_a_mixture_of_one_depth_is_a_plain_head(tmp_path):
    mixed, plain = (build_chain(tmp_path, {"depths": [2], "mixture": mixture}) for mixture in (True, False))
    assert count_parameters(mixed) == count_parameters(plain)


@pytest.mark.parametrize("head", [{}, {"depths": [1, 3], "share": True}, {"depths": [0, 2, 3], "mixture": True}])
@pytest.mark.parametrize("kind", ["linear", "bottleneck", "attention", "conv"])
def test_growing_changes_nothing_at_first(tmp_path, inputs, head, kind):
    chain = build_chain(tmp_path, head, links={"kind": kind})
    before = None
    for depth in range(4):
        chain.active_depth = depth
        logits = chain(*inputs)
        assert list(logits) == chain.keys
        if before is not None:
            for key, value in logits.items():
                assert torch.equal(value, before[key])
        before = logits


def test_links_beyond_the_active_depth_stay_out(tmp_path, inputs):
    chain = build_chain(tmp_path, {}, links={"kind": "attention", "init": "random"})
    chain.active_depth = 2
    states = chain.compute_states(*inputs)
    assert torch.equal(states[3], states[2])
    chain(*inputs)["a", 3].sum().backward()
    assert all(p.grad is None for p in chain.cells[2].parameters())
    assert all(p.grad is not None for p in chain.cells[1].parameters())
