"""AdamW with decay where it belongs, and the learning rate's course."""

from __future__ import annotations

import math

import torch
from torch import nn

from chain_core.config import TrainConfig
from chain_core.modeling.model import ChainModel


def build_optimiser(model: ChainModel, config: TrainConfig) -> torch.optim.AdamW:
    """Four groups: backbone or chain, matrices (decayed) or vectors (not)."""
    upper = {id(parameter) for parameter in model.upper.parameters()} if model.upper is not None else set()
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for parameter in model.parameters():
        if parameter.requires_grad:
            groups.setdefault((id(parameter) in upper, parameter.ndim > 1), []).append(parameter)
    return torch.optim.AdamW(
        [
            {
                "params": parameters,
                "lr": config.backbone_learning_rate if of_backbone else config.learning_rate,
                "weight_decay": config.weight_decay if matrix else 0.0,
            }
            for (of_backbone, matrix), parameters in groups.items()
        ],
        fused=True,
    )


def compute_rate(config: TrainConfig, step: int, steps: int) -> float:
    """The learning rate of one of `steps` steps as a fraction of its peak, in (0, 1]."""
    warmup = max(1, round(config.warmup * steps)) if config.warmup > 0 else 0
    if step < warmup:
        return (step + 1) / warmup
    progress = (step - warmup) / max(steps - warmup, 1)
    if config.schedule == "constant":
        return 1.0
    if config.schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * progress))
    return 1.0 - progress


def build_schedule(optimiser: torch.optim.Optimizer, config: TrainConfig, steps: int):
    """The scheduler that follows `compute_rate`."""
    return torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: compute_rate(config, step, steps))
