"""What a step makes small: each head's loss, and their weighted sum; and how wrong that says each row is."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from chain_core.config import SELF_SUPERVISED, Config
from chain_core.modeling.batch import Batch
from chain_core.modeling.model import ChainModel, name_weight
from chain_core.training.evaluate import Key
from chain_core.training.pruning import Errors

Losses = dict[Key, Tensor]


def compute_losses(model: ChainModel, logits: Mapping[Key, Tensor], batch: Batch) -> Losses:
    """Each head's loss at each depth."""
    return {
        key: model.chain.get_head(*key).compute_loss(values, batch.labels[key[0]], batch)
        for key, values in logits.items()
    }


def compute_errors(
    model: ChainModel,
    logits: Mapping[Key, Tensor],
    batch: Batch,
    portions: Mapping[str, float] | None,
    factor: float = 1.0,
) -> Errors:
    """Head -> (B,) float32: how wrong its worst answer in each row is, once the total's gradient is there.

    It is the largest |d total / d logit| of the row, at all depths, but for what the head's loss is divided by: of
    cross-entropy 1 - p of the label, of a CRF that of a tag's marginal, of a score its distance, each times a number
    that is the same for all rows of a step. 0 where the row has no label or the head gets no gradient.
    `portions`: as of `compute_total`; `factor`: by what the total was multiplied.
    """
    errors: dict[str, Tensor] = {}
    for (name, depth), values in logits.items():
        head = model.chain.get_head(name, depth)
        portion = 1 if portions is None else portions[name]
        if head.task.kind in SELF_SUPERVISED:
            continue
        error = torch.zeros(len(values), device=values.device)
        if portion and values.requires_grad and values.grad is not None:
            mass = head.compute_mass(batch.labels[name], batch)
            error = values.grad.float().abs().flatten(1).amax(1) * (mass / (portion * factor))
        errors[name] = torch.maximum(errors[name], error) if name in errors else error
    return {name: values.cpu().numpy() for name, values in errors.items()}


def compute_total(
    losses: Losses,
    config: Config,
    log_variances: nn.ParameterDict | None = None,
    portions: Mapping[str, float] | None = None,
) -> Tensor:
    """sum over tasks t of w_t * sum over depths d of v_d * loss_{t,d}.

    With learned s = log(sigma^2) each loss is exp(-s) loss + s / 2, for regression exp(-s) loss / 2 + s / 2 (Kendall
    et al. 2018, arXiv 1705.07115); a loss of 0, which is that of a batch without labels, says nothing about s.
    `portions`: of a part of a batch, each head's share in the whole.
    """
    assert config.heads is not None
    terms = []
    for (head, depth), loss in losses.items():
        weight = config.heads[head].weight * config.get_depth_weights(head)[depth]
        if log_variances is not None and float(loss.detach()):
            variance = log_variances[name_weight(head, depth)]
            share = 0.5 if config.heads[head].kind == "regression" else 1.0
            loss = share * (-variance).exp() * loss + variance / 2
        terms.append((weight if portions is None else weight * portions[head]) * loss)
    return torch.stack(terms).sum()


def read_loss_weights(model: ChainModel) -> dict[str, float]:
    """`head@depth` -> the factor exp(-s) that its loss is multiplied by now; empty where weights are fixed."""
    learned = model.log_variances
    if learned is None:
        return {}
    return {f"{head}@{depth}": math.exp(-learned[name_weight(head, depth)].item()) for head, depth in model.chain.keys}
