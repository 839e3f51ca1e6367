"""A vision transformer's states feed a chain like any other: links and heads see sequences, masks and a grid."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from chain_core.config import LINK_KINDS, resolve_config
from chain_core.data.encode import Encoded
from chain_core.data.schema import Task
from chain_core.modeling import model as model_module
from chain_core.modeling.backbones.backbone import load_backbone
from chain_core.modeling.backbones.catalogue import read_facts
from chain_core.modeling.backbones.features import compute_features
from chain_core.modeling.backbones.shapes import read_shapes
from chain_core.modeling.batch import Batch, build_batch
from chain_core.modeling.chain import Chain, count_parameters
from chain_core.modeling.links.counts import count_links
from chain_core.modeling.model import build_model, load_lower
from chain_core.training.optimiser import build_optimiser
from chain_core.training.step import take_step
from tests.tiny import save_tiny_vit

CPU = torch.device("cpu")
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
def test_states_in_half_precision_train_as_fresh_ones(seen, kind):
    """Losses agree to 1e-3, gradients to 1 % of their length."""
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


# ---- through the feature cache, against the whole model run over each batch

STEPS = 4


class Seeing(nn.Module):
    """A vision transformer behind the face of a text model: a row's ids are the number of its image, once a position.

    The workbench's rows are texts; this is the level below its reader, from which on nothing knows the modality.
    """

    base_model_prefix = ""  # asked for by peft

    def __init__(self, model, images):
        super().__init__()
        self.model, self.config, self.images = model, model.config, images

    def forward(self, attention_mask, input_ids, return_dict=True):
        return self.model(pixel_values=self.images[input_ids[:, 0]])


@pytest.fixture
def see(seen, monkeypatch):
    """Facts, images, and rows that stand for them; models load as `Seeing`."""
    facts, _ = seen
    torch.manual_seed(3)
    images = torch.randn(12, 3, 6, 4)
    monkeypatch.setattr(model_module, "load_backbone", lambda facts, **_: Seeing(load_backbone(facts), images))
    ids = np.repeat(np.arange(len(images), dtype=np.int32), 7)
    empty = np.zeros(0, np.int32)
    offsets = np.arange(len(images) + 1, dtype=np.int64) * 7
    words = np.zeros(len(images) + 1, np.int64)
    return facts, images, Encoded(ids, np.zeros(len(ids), np.int8), offsets, empty, words, empty, empty, 0)


WAYS = {
    "frozen": {"chain": {"links": [{"kind": "conv", "init": "random", "kernel": 3}, {"kind": "attention"}]}},
    "frozen pooled": {"chain": {"links": {"kind": "bottleneck", "init": "random"}}},
    "top 2 in full": {"backbone": {"tuning": "full", "layers": 2}, "chain": {"taps": [2, 4]}},
    "top 1 by LoRA": {"backbone": {"tuning": "lora", "layers": 1}},
}


def learn(facts, way, build_rows):
    """The losses of some AdamW steps. `build_rows`: model -> a function from row numbers to a batch without labels."""
    sections = {"chain": {}, **WAYS[way]}
    config = resolve_config(
        {
            "data": {"train": "t"}, "input": {"text": "w"}, **sections,
            "chain": {"depth": 2, "width": 24, **sections["chain"]},
            "heads": {"a": {"kind": "classification", "column": "a", "depths": [0, 2]}},
            "train": {"learning_rate": 5e-3},
        }
    )  # fmt: skip
    model = build_model(config, TASKS, facts)
    build, optimiser = build_rows(model), build_optimiser(model, config.train)
    losses = []
    for number in range(STEPS):
        rows = np.random.default_rng(number).permutation(12)[:8]
        batch = replace(build(rows), labels={"a": torch.from_numpy(rows % 3)})
        torch.manual_seed(number)  # the same dropout for both
        losses.append(float(take_step(model, batch, config, optimiser, CPU, torch.float32)["", 0]))
    return losses


@pytest.mark.parametrize("way", WAYS)
def test_images_train_from_the_cache_as_without_one(see, tmp_path, way):
    """From float16 files, in fp32: within 0.2 % of each loss at every step."""
    facts, images, encoded = see
    pooled = way == "frozen pooled"

    def read_cached(model):
        hidden = compute_features(
            lambda: load_lower(facts, model.base), encoded, model.cached_layers, folder=tmp_path / "cache", device=CPU,
            dtype=torch.float32, pooled=pooled, meta={}, progress=lambda done, total: None,
        )  # fmt: skip
        assert hidden
        assert {states.dtype for states in hidden.values()} == {np.dtype(np.float16)}
        assert {len(states) for states in hidden.values()} == {12 if pooled else 12 * 7}
        return lambda rows: replace(
            build_batch(encoded, rows, hidden=hidden, pooled=pooled), grid=None if pooled else (3, 2)
        )

    def read_whole(model):
        whole, layers = load_backbone(facts).eval(), model.cached_layers

        def build(rows):
            with torch.no_grad():
                output = whole(pixel_values=images[rows], output_hidden_states=True)
            states = dict(enumerate((*output.hidden_states[:-1], output.last_hidden_state)))
            if pooled:
                states = {layer: state.mean(1, keepdim=True) for layer, state in states.items()}
            hidden = {layer: states[layer] for layer in layers}
            mask = torch.ones(len(rows), 1 if pooled else 7, dtype=torch.bool)
            return Batch(rows, mask, hidden=hidden, grid=None if pooled else (3, 2))

        return build

    cached, whole = learn(facts, way, read_cached), learn(facts, way, read_whole)
    assert cached == pytest.approx(whole, rel=2e-3)
    assert cached[0] != cached[-1]
