"""Steps in float16: the gradient is that of the unscaled loss, and one that overflows changes nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from chain_core.errors import ConfigError
from chain_core.modeling.backbones.ranks import count_ranks
from chain_core.training import scaling
from chain_core.training.optimiser import build_optimiser
from chain_core.training.scaling import FIRST, LEAST, LossScale
from chain_core.training.step import take_step
from tests.training.test_step import CPU, read_gradients, start, step

HALF = torch.float16
FITTING = 2.0**8
"""A factor with which the gradients here fit."""


def fit(dtype=HALF):
    scale = LossScale(dtype)
    scale.factor = FITTING if scale.used else scale.factor
    return scale


def step_in_half(model, config, batch, scale, **options):
    optimiser = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.0)
    return take_step(model, batch, config, optimiser, CPU, HALF, scale=scale, **options)


def flatten(gradients):
    return torch.cat([gradients[name].flatten() for name in sorted(gradients)])


@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize("settings", [{}, {"adversarial": 0.5}, {"loss_weights": "uncertainty"}], ids=str)
def test_the_gradient_is_that_of_the_loss(backbone, settings, parts):
    found = {}
    for dtype in (torch.float32, HALF):
        model, config, batch = start(backbone, backbone={"tuning": "full", "layers": 2}, train=settings)
        noted = {}
        losses = take_step(
            model, batch, config, torch.optim.SGD(model.parameters(), lr=0.0), CPU, dtype,
            scale=fit(dtype), parts=parts, note=lambda rows, errors, noted=noted: noted.update(errors),
        )  # fmt: skip
        found[dtype] = float(losses["", 0]), flatten(read_gradients(model)), noted
    exact, half = found[torch.float32], found[HALF]
    assert half[0] == pytest.approx(exact[0], rel=5e-3)
    assert (half[1] - exact[1]).norm() < 0.03 * exact[1].norm()
    assert half[2].keys() == exact[2].keys()
    for name, errors in exact[2].items():
        np.testing.assert_allclose(half[2][name], errors, rtol=0.05, atol=1e-3)


def test_small_gradients_are_not_lost(backbone):
    zeros = {}
    for factor in (1.0, FITTING):
        model, config, batch = start(backbone)
        light = {name: head.model_copy(update={"weight": 1e-7}) for name, head in config.heads.items()}
        scale = LossScale(HALF)
        scale.factor = factor
        step_in_half(model, config.model_copy(update={"heads": light}), batch, scale)
        zeros[factor] = int((flatten(read_gradients(model)) == 0).sum())
    assert zeros[1.0] > 2 * zeros[FITTING]


def test_a_gradient_that_overflows_changes_nothing(backbone):
    tuning = {"tuning": "adalora", "rank": 4, "final_rank": 1}
    model, config, batch = start(backbone, backbone=tuning, train={"clip": 1.0})
    optimiser, scale = build_optimiser(model, config.train), LossScale(HALF)
    scale.factor = 2.0**40
    before = {name: value.clone() for name, value in model.state_dict().items()}
    ranks, told = count_ranks(model.upper), []
    losses = take_step(
        model, batch, config, optimiser, CPU, HALF, scale=scale, progress=(3, 3), look=told.append,
        note=lambda rows, errors: told.append(rows),
    )  # fmt: skip
    assert torch.isfinite(losses["", 0])
    assert scale.factor == 2.0**39
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert (count_ranks(model.upper), told, len(optimiser.state)) == (ranks, [], 0)
    for _ in range(40):
        take_step(model, batch, config, optimiser, CPU, HALF, scale=scale)
    assert len(optimiser.state) > 0
    assert scale.factor < 2.0**39


def test_the_factor_grows_after_many_steps_and_goes_on_from_a_checkpoint(backbone, monkeypatch):
    monkeypatch.setattr(scaling, "DOUBLED_AFTER", 3)
    model, config, batch = start(backbone)
    first = fit()
    for _ in range(2):
        step_in_half(model, config, batch, first)
    second = LossScale(HALF)
    second.set_state(first.get_state())
    for scale in (first, second):
        assert scale.factor == FITTING
        step_in_half(model, config, batch, scale)
        assert scale.factor == 2 * FITTING


def test_it_is_not_used_without_float16(backbone):
    model, config, batch = start(backbone)
    step(model, config, batch)
    expected = read_gradients(model)
    scale = LossScale(torch.bfloat16)
    step(model, config, batch, scale=scale)
    assert all(torch.equal(value, expected[name]) for name, value in read_gradients(model).items())
    assert (scale.factor, scale.get_state()) == (1.0, None)
    half = LossScale(HALF)
    half.set_state(scale.get_state())
    assert half.factor == FIRST


def test_where_no_factor_helps_the_run_ends_with_a_sentence(backbone):
    model, config, batch = start(backbone)
    scale = LossScale(HALF)
    parameter = next(parameter for parameter in model.parameters() if parameter.requires_grad)
    parameter.register_hook(lambda gradient: gradient * float("nan"))
    while scale.factor > LEAST:
        step_in_half(model, config, batch, scale)
    with pytest.raises(ConfigError) as caught:
        step_in_half(model, config, batch, scale)
    assert caught.value.code == "gradient_overflows"


def test_a_loss_beyond_float16_says_so(backbone):
    model, config, batch = start(backbone)
    with torch.no_grad():
        for head in model.chain.heads.parameters():
            head.fill_(3e4)
    with pytest.raises(ConfigError) as caught:
        step_in_half(model, config, batch, LossScale(HALF))
    assert caught.value.code == "loss_overflows"
