"""One update: losses, their weighted sum, its gradient, the optimiser."""

from __future__ import annotations

import torch

from chain_core.config import Config
from chain_core.errors import ConfigError
from chain_core.modeling.batch import Batch
from chain_core.modeling.device import autocast
from chain_core.modeling.model import ChainModel
from chain_core.training.evaluate import Key


def take_step(
    model: ChainModel,
    batch: Batch,
    config: Config,
    optimiser: torch.optim.Optimizer,
    device: torch.device,
    dtype: torch.dtype,
) -> dict[Key, torch.Tensor]:
    """One update; returns each head's loss at each depth, and their weighted sum under ("", 0)."""
    batch = batch.to(device)
    with autocast(device, dtype):
        logits = model(batch)
    losses = {
        key: model.chain.get_head(*key).compute_loss(values, batch.labels[key[0]], batch)
        for key, values in logits.items()
    }
    total = compute_total(losses, config)
    if not torch.isfinite(total):
        raise ConfigError("loss_not_finite", path="train.learning_rate", given=config.train.learning_rate)
    optimiser.zero_grad(set_to_none=True)
    total.backward()
    if config.train.clip is not None:
        torch.nn.utils.clip_grad_norm_((p for p in model.parameters() if p.requires_grad), config.train.clip)
    optimiser.step()
    return {**{key: loss.detach() for key, loss in losses.items()}, ("", 0): total.detach()}


def compute_total(losses: dict[Key, torch.Tensor], config: Config) -> torch.Tensor:
    """sum over tasks t of w_t * sum over depths d of v_d * loss_{t,d}."""
    assert config.heads is not None
    terms = [
        config.heads[head].weight * config.get_depth_weights(head)[depth] * loss
        for (head, depth), loss in losses.items()
    ]
    return torch.stack(terms).sum()
