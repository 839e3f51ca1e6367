"""Over a decoder no position learns of what comes after it, and the last one speaks for its row."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from chain_core.config import LINK_KINDS, resolve_config
from chain_core.data.schema import Task
from chain_core.modeling.backbones.catalogue import read_facts
from chain_core.modeling.batch import Batch
from chain_core.modeling.chain import compute_pooled
from chain_core.modeling.links.kinds import pool_last
from chain_core.modeling.model import build_model, load_lower

TASKS = (Task("a", "classification", "a", ("x", "y", "z")),)


@pytest.mark.parametrize(
    ("kind", "init"),
    [*((kind, "random") for kind in LINK_KINDS), *((kind, "backbone") for kind in LINK_KINDS if kind != "conv")],
)
@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_a_later_token_changes_no_earlier_state(backbones, family, kind, init):
    folder = backbones[family]
    config = resolve_config(
        {
            "data": {"train": "t"},
            "input": {"text": "w"},
            "backbone": {"name": str(folder)},
            "chain": {"depth": 2, "width": 24, "links": {"kind": kind, "init": init, "kernel": 3}},
            "heads": {"a": {"kind": "classification", "column": "a"}},
        }
    )
    facts = read_facts(str(folder))
    model, lower = build_model(config, TASKS, facts).eval(), load_lower(facts, 4)
    ids = torch.tensor([[5, 6, 7, 8, 9, 10], [5, 6, 7, 8, 11, 12]])
    mask = torch.tensor([[True] * 6, [True] * 5 + [False]])
    with torch.no_grad():
        batch = Batch(np.arange(2), mask, hidden=lower(mask, ids))
        states = model.chain.compute_states(batch.hidden, batch)
    for depth in (1, 2):
        torch.testing.assert_close(states[depth][0, :4], states[depth][1, :4])
        assert not torch.allclose(states[depth][0, 4], states[depth][1, 4])


def test_the_last_kept_position_speaks_for_a_decoders_row():
    states = torch.randn(3, 4, 5)
    mask = torch.tensor([[True] * 4, [True, True, False, False], [False] * 4])
    pooled = compute_pooled(states, mask, causal=True)
    assert torch.equal(pooled, torch.stack([states[0, 3], states[1, 1], torch.zeros(5)]))
    torch.testing.assert_close(compute_pooled(states, mask)[1], states[1, :2].mean(0))
    assert torch.equal(pool_last(states, mask), pooled)


@pytest.mark.parametrize("family", ["bert", "gpt2", "llama"])
def test_a_frozen_half_knows_whether_it_looks_back_only(backbones, family):
    facts = read_facts(str(backbones[family]))
    assert load_lower(facts, 4).causal == (family != "bert")
