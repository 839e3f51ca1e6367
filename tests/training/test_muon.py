"""Muon beside the singular value decomposition, torch's own Muon and AdamW."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from chain_core.config import TrainConfig
from chain_core.training import muon
from chain_core.training.checkpoint import read_optimiser, restore_optimiser
from chain_core.training.muon import Muon, orthogonalise
from chain_core.training.optimiser import build_optimiser
from tests.training.setup import PLAIN, get_ready

NEAR = 0.27
"""How far from 1 singular values may end that are not lost in the others."""
JORDANS = ((3.4445, -4.7750, 2.0315),) * 5


@given(
    rows=st.integers(1, 40),
    columns=st.integers(1, 40),
    scale=st.sampled_from([1e-12, 1e-3, 1.0, 1e6]),
    seed=st.integers(0, 1000),
)
def test_directions_stay_and_their_sizes_become_alike(rows, columns, scale, seed):
    torch.manual_seed(seed)
    matrix = torch.randn(rows, columns)
    left, sizes, right = torch.linalg.svd(matrix, full_matrices=False)
    turned = left.T @ orthogonalise(matrix * scale, torch.float32) @ right.T
    loud = sizes > 0.011 * matrix.norm()
    assert ((turned.diag()[loud] - 1).abs() < NEAR + 0.01).all()
    assert (turned.diag() > 0).all()
    assert (turned - turned.diag().diag()).abs().max() < 1e-3


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_half_precision_is_about_as_near_whatever_the_gradients_size(dtype, scale):
    torch.manual_seed(0)
    sizes = torch.linalg.svdvals(orthogonalise(torch.randn(48, 64) * scale, dtype))
    assert (sizes - 1).abs().max() < NEAR + 0.05


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_no_gradient_moves_nothing(dtype):
    assert not orthogonalise(torch.zeros(3, 5), dtype).any()


def test_updates_are_those_of_torchs_own(monkeypatch):
    """With its polynomial, five times, in its precision, and in every step."""
    monkeypatch.setattr(muon, "_POLYNOMIALS", JORDANS)
    monkeypatch.setattr(muon, "EVERY", 1)
    torch.manual_seed(0)
    ours = [torch.nn.Parameter(torch.randn(shape)) for shape in ((24, 16), (16, 24), (16, 16))]
    theirs = [torch.nn.Parameter(matrix.detach().clone()) for matrix in ours]
    first = Muon([{"params": ours, "lr": 0.01, "weight_decay": 0.1, "orthogonal": True}], torch.bfloat16)
    second = torch.optim.Muon(theirs, lr=0.01, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    for _ in range(4):
        for one, other in zip(ours, theirs, strict=True):
            one.grad = torch.randn_like(one)
            other.grad = one.grad.clone()
        first.step()
        second.step()
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, atol=1e-3, rtol=0)


def test_matrices_take_turns_and_move_twice_as_far():
    torch.manual_seed(0)
    before = torch.randn(6, 4)
    matrices = [torch.nn.Parameter(before.clone()) for _ in range(3)]
    optimiser = Muon([{"params": matrices, "lr": 0.01, "weight_decay": 0.1, "orthogonal": True}])
    kept = [before, before, before]
    mean = torch.zeros_like(before)
    for step in range(1, 5):
        gradient = torch.randn_like(before)
        mean = mean.lerp(gradient, 1 - muon.MOMENTUM)
        for matrix in matrices:
            matrix.grad = gradient.clone()
        optimiser.step()
        update = orthogonalise(gradient.lerp(mean, muon.MOMENTUM), torch.float32)
        for number, (matrix, old) in enumerate(zip(matrices, kept, strict=True)):
            moved = old * (1 - 0.02 * 0.1) - 0.02 * muon.RMS * 6**0.5 * update
            torch.testing.assert_close(matrix.detach(), old if (step + number) % 2 else moved)
        kept = [matrix.detach().clone() for matrix in matrices]


def test_what_it_does_not_move_is_adamws():
    torch.manual_seed(0)
    ours, matrix = torch.nn.Parameter(torch.randn(5)), torch.nn.Parameter(torch.randn(4, 4))
    theirs = torch.nn.Parameter(ours.detach().clone())
    first = Muon(
        [
            {"params": [matrix], "lr": 0.1, "orthogonal": True},
            {"params": [ours], "lr": 0.1, "weight_decay": 0.2, "orthogonal": False},
        ]
    )
    second = torch.optim.AdamW([theirs], lr=0.1, weight_decay=0.2, fused=True)
    for _ in range(5):
        ours.grad = torch.randn(5)
        theirs.grad = ours.grad.clone()
        first.step()
        second.step()
    assert ours.equal(theirs)
    assert len(first.param_groups) == 2
    assert not first.state[matrix], "a matrix without a gradient stays"


def test_a_state_from_before_it_is_adamws():
    """A run that was paused before there was a choice goes on."""
    weight = torch.nn.Parameter(torch.ones(3))
    first = Muon([{"params": [weight], "part": "chain", "weight_decay": 0.0, "orthogonal": False}])
    weight.grad = torch.ones(3)
    first.step()
    groups, moments = read_optimiser(first)
    old = [{key: value for key, value in group.items() if key != "orthogonal"} for group in groups]
    again = Muon([{"params": [weight], "part": "chain", "weight_decay": 0.0, "orthogonal": False}])
    restore_optimiser(again, old, moments, None, ["weight"])
    again.step()
    assert again.state[weight]["step"] == 2


def test_it_moves_the_links_matrices_alone(backbone, commands, tmp_path):
    mapping = {
        **PLAIN,
        "data": {"train": str(commands)},
        "backbone": {"name": str(backbone), "tuning": "full", "layers": 1},
        "chain": {"depth": 2, "width": 32, "links": {"kind": "conv"}, "lexical": "on"},
        "heads": {"slots": {"kind": "tagging", "column": "slots"}},
    }
    model = get_ready(mapping, tmp_path).model
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    moved = {
        names[id(parameter)]
        for group in build_optimiser(model, TrainConfig(optimiser="muon")).param_groups
        for parameter in group["params"]
        if group["orthogonal"]
    }
    cells = {f"chain.cells.{cell}.{name}.weight" for cell in (0, 1) for name in ("project", "link.into", "link.out")}
    assert moved == cells
    groups = build_optimiser(model, TrainConfig(optimiser="adamw")).param_groups
    assert not any(group["orthogonal"] for group in groups), "AdamW moves all by itself"
