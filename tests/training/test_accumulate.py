"""A batch in parts: the gradient is that of the whole batch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from chain_core.modeling.batch import Batch
from chain_core.training import step as step_module
from chain_core.training.anchors import build_pretrained_anchor
from tests.training.test_step import CPU, HEADS, read_gradients, start, step

WAYS = {
    "plain": {},
    "learned weights": {"train": {"loss_weights": "uncertainty"}},
    "perturbed": {"train": {"adversarial": 0.5}},
    "tuned and pulled": {"backbone": {"tuning": "full", "layers": 2}, "train": {"l2_sp": 0.3}},
    "adalora": {"backbone": {"tuning": "adalora", "layers": 2}},
    "agreement": {"train": {"r_drop": 0.7}},
}


def widen(batch):
    """The batch of three rows three times over, with other labels: 9 rows, some heads unlabelled in whole parts."""
    order = torch.tensor([0, 1, 2, 2, 0, 1, 1, 2, 0])

    def take(value):
        return value[order] if isinstance(value, torch.Tensor) else value

    labels = {name: take(value).clone() for name, value in batch.labels.items()}
    labels["intent"] = torch.tensor([0, 2, -1, -1, -1, -1, 1, 1, 2])
    labels["score"][:3] = float("nan")
    labels["slots"][6:] = -1
    fields = {name: take(getattr(batch, name)) for name in ("mask", "input_ids", "word_starts", "word_mask")}
    hidden = {layer: states[order] for layer, states in batch.hidden.items()}
    return replace(batch, rows=np.arange(9), labels=labels, hidden=hidden, **fields)


@pytest.mark.parametrize("parts", [2, 3, 9, 20])
@pytest.mark.parametrize("way", WAYS)
def test_parts_have_the_gradient_of_the_whole(backbone, monkeypatch, way, parts):
    model, config, batch = start(backbone, **WAYS[way])
    batch = widen(batch)
    for name, depth in model.chain.keys:
        head = model.chain.get_head(name, depth)
        if hasattr(head, "class_weights"):
            head.class_weights.copy_(torch.linspace(0.5, 2.0, len(head.class_weights)))
    if way == "agreement":  # without dropout both passes would agree
        turn = iter([1.0, 1.5] * 40)
        real = step_module._run

        def run(*args):
            factor = next(turn)
            return {key: factor * value for key, value in real(*args).items()}

        monkeypatch.setattr(step_module, "_run", run)
    anchors = [build_pretrained_anchor(model, 0.3, CPU)] if "l2_sp" in WAYS[way].get("train", {}) else []
    if anchors:
        with torch.no_grad():
            for parameter in model.upper.parameters():
                parameter.add_(0.01)
    whole = step(model, config, batch, anchors=anchors)
    expected = read_gradients(model)
    parted = step(model, config, batch, anchors=anchors, parts=parts)
    found = read_gradients(model)
    assert set(parted) == set(whole)
    for key, loss in whole.items():
        torch.testing.assert_close(parted[key], loss, rtol=1e-5, atol=1e-6)
    assert set(found) == set(expected)
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, expected[name], rtol=2e-4, atol=2e-6, msg=name)


def test_parts_cover_every_row_once(backbone):
    _, _, batch = start(backbone)
    batch = widen(batch)
    for parts in (1, 2, 4, 5, 9, 100):
        pieces = batch.split(parts)
        assert np.concatenate([piece.rows for piece in pieces]).tolist() == list(range(9))
        assert max(len(piece.rows) for piece in pieces) == -(-9 // min(parts, 9))
        assert all(isinstance(piece, Batch) and len(piece.mask) == len(piece.rows) for piece in pieces)
        assert torch.equal(torch.cat([piece.labels["slots"] for piece in pieces]), batch.labels["slots"])


LOSSES = {
    "crf": ("slots", {"kind": "tagging", "column": "slots", "crf": True}),
    "focal": ("intent", {"kind": "classification", "column": "intent", "focal": 2.0, "label_smoothing": 0.1}),
    "focal tags": ("slots", {"kind": "tagging", "column": "slots", "focal": 1.0}),
    "focal labels": ("topics", {"kind": "multilabel", "column": "topics", "focal": 1.0}),
}


@pytest.mark.parametrize("name", LOSSES)
def test_parts_of_every_loss_add_up(backbone, monkeypatch, name):
    """sum over the parts of mass x loss = the whole's."""
    head_name, settings = LOSSES[name]
    monkeypatch.setitem(HEADS, head_name, settings)
    model, _, batch = start(backbone)
    batch = widen(batch)
    head = model.chain.get_head(head_name, 2)
    head.class_weights.copy_(torch.linspace(0.5, 2.0, len(head.class_weights)))
    with torch.no_grad():
        logits = model(batch)[head_name, 2]
    labels = batch.labels[head_name]
    summed = mass = 0.0
    for piece, part in zip(batch.split(3), logits.split(3), strict=True):
        mass += head.compute_mass(piece.labels[head_name], piece)
        summed += head.compute_mass(piece.labels[head_name], piece) * head.compute_loss(
            part, piece.labels[head_name], piece
        )
    torch.testing.assert_close(summed / mass, head.compute_loss(logits, labels, batch), rtol=1e-5, atol=1e-6)
