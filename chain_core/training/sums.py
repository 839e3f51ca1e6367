"""The gradient and the losses of a batch, summed over the processes that computed its parts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from chain_core.modeling.backbones.sharding import is_sharded
from chain_core.modeling.model import ChainModel
from chain_core.modeling.team import Team
from chain_core.training.evaluate import Key

BUCKET = 1 << 24
"""Numbers that are summed in one go: few enough to need little memory beside the gradient, enough to be few calls."""


def sum_gradient(
    model: ChainModel, losses: dict[Key, Tensor], team: Team, failure: Exception | None
) -> dict[Key, Tensor]:
    """Sum every parameter's gradient over the team, in place; the summed losses.

    `failure`: what kept it from computing; raised on all. A parameter
    that no process has a gradient of keeps none: the optimiser passes it by. Layers that are shared out have been
    summed already.
    """
    keys: list[Key] = [*model.chain.active_keys, ("", 0)]
    parameters = [each for each in model.parameters() if each.requires_grad and not is_sharded(each)]
    device = parameters[0].device
    told = torch.zeros(1 + len(keys), device=device)
    told[0] = failure is not None
    if failure is None:
        told[1:] = torch.stack([losses[key].float() for key in keys])
    known = torch.tensor([float(parameter.grad is not None) for parameter in parameters], device=device)
    head = torch.cat([told, known])
    team.add(head)
    failed, *counts = head.tolist()
    if failed:
        team.agree(failure)
    shared = [parameter for parameter, count in zip(parameters, counts[len(keys) :], strict=True) if count]
    for bucket in _cut(shared):
        _sum_bucket(bucket, team)
    return dict(zip(keys, head[1 : len(told)], strict=True))


def _sum_bucket(parameters: Sequence[nn.Parameter], team: Team) -> None:
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    flat = torch.cat([parameter.grad.reshape(-1) for parameter in parameters if parameter.grad is not None])
    team.add(flat)
    for parameter, part in zip(parameters, flat.split([each.numel() for each in parameters]), strict=True):
        assert parameter.grad is not None
        parameter.grad.copy_(part.view_as(parameter.grad))


def _cut(parameters: Sequence[nn.Parameter]) -> Iterator[list[nn.Parameter]]:
    """The parameters in groups of not much more than BUCKET numbers."""
    group: list[nn.Parameter] = []
    size = 0
    for parameter in parameters:
        group.append(parameter)
        size += parameter.numel()
        if size >= BUCKET:
            yield group
            group, size = [], 0
    if group:
        yield group
