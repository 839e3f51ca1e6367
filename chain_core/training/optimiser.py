"""The optimiser, with decay where it belongs, and the learning rate's course."""

from __future__ import annotations

import math

import torch
from torch import nn

from chain_core.config import TrainConfig
from chain_core.modeling.backbones.sharding import is_sharded
from chain_core.modeling.backbones.tuning import is_added
from chain_core.modeling.model import ChainModel
from chain_core.training.muon import Muon

WEIGHTS_RATE = 10.0
"""Learned loss weights: their learning rate in units of the links'; there are few, and they have far to go."""


def build_optimiser(model: ChainModel, config: TrainConfig, dtype: torch.dtype = torch.float32) -> Muon:
    """Groups of parameters by their part, whether they decay (matrices do, vectors and scales do not), and whether Muon
    moves them, which multiplies in `dtype`. What is kept in parts stands by itself: the update goes through a group at
    once."""
    groups: dict[tuple[str, bool, bool, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            orthogonal = config.optimiser == "muon" and _is_hidden_matrix(name, parameter)
            key = _name_part(name), _decays(name, parameter), orthogonal, is_sharded(parameter)
            groups.setdefault(key, []).append(parameter)
    rates = {
        "backbone": config.backbone_learning_rate,
        "chain": config.learning_rate,
        "weights": config.learning_rate * WEIGHTS_RATE,
    }
    return Muon(
        [
            {
                "params": parameters, "lr": rates[part], "initial_lr": rates[part], "part": part,
                "weight_decay": config.weight_decay if decays else 0.0, "orthogonal": orthogonal,
            }
            for (part, decays, orthogonal, _), parameters in groups.items()
        ],
        dtype,
    )  # fmt: skip


def _name_part(name: str) -> str:
    return {"upper": "backbone", "log_variances": "weights"}.get(name.partition(".")[0], "chain")


def _decays(name: str, parameter: nn.Parameter) -> bool:
    """Of what a tuning adds only LoRA's factors: IA3's scales rest at 1, prefixes at words."""
    return parameter.ndim > 1 and (not is_added(name) or "lora_" in name)


def _is_hidden_matrix(name: str, parameter: nn.Parameter) -> bool:
    """The links' matrices and those of their taps' projections; what is looked up and what gives logits are not."""
    return parameter.ndim == 2 and name.startswith("chain.cells.")


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


def set_rates(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Give each group that fraction of its peak learning rate."""
    for group in optimiser.param_groups:
        group["lr"] = group["initial_lr"] * rate
