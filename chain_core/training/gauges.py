"""What is read off a step for whoever watches: the gradient of each part, the learning rates, the memory."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import psutil
import torch
from torch import Tensor
from torch.nn.utils import get_total_norm

from chain_core.modeling.backbones.sharding import compute_norms
from chain_core.modeling.model import ChainModel
from chain_core.modeling.team import SOLO, Team


def compute_gradient_norms(model: ChainModel, team: Team = SOLO) -> dict[str, float]:
    """The 2-norm of the gradient of the backbone, the links, the heads and the learned loss weights, as far as they
    train. `team`: which keeps a backbone in parts."""
    parts: dict[str, list[Tensor]] = {}
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            parts.setdefault(_name_part(name), []).append(parameter.grad)
    if not parts:
        return {}
    if model.sharded:
        return {part: norm.item() for part, norm in compute_norms(parts, team).items()}
    norms = torch.stack([get_total_norm(gradients).float() for gradients in parts.values()])
    return dict(zip(parts, norms.tolist(), strict=True))  # one wait for the device, however many parts


def _name_part(name: str) -> str:
    first, _, rest = name.partition(".")
    if first == "chain":
        return "heads" if rest.startswith("heads.") else "links"
    return {"upper": "backbone", "log_variances": "weights"}.get(first, "links")


def read_learning_rates(optimiser: torch.optim.Optimizer) -> dict[str, float]:
    """Those that the next step takes: of the backbone, the chain (links and heads) and the loss weights."""
    return {group["part"]: float(group["lr"]) for group in optimiser.param_groups}


def read_memory(device: torch.device) -> dict[str, int]:
    """Bytes that this process holds, and the most that it has held on a GPU."""
    memory = {"process": _get_process().memory_info().rss}
    if device.type == "cuda":
        memory["device"] = torch.cuda.max_memory_allocated(device)
    return memory


@cache
def _get_process() -> psutil.Process:
    return psutil.Process()


def describe_gauges(
    gradients: Mapping[str, float], rates: Mapping[str, float], device: torch.device
) -> dict[str, dict[str, float]]:
    """The part of a step event that tells of them."""
    return {"gradient": dict(gradients), "learning_rates": dict(rates), "memory": dict(read_memory(device))}
