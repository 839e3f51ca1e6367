"""One update: losses, their weighted sum, its gradient, the optimiser; and what a config adds to these.

    total = sum of w_t v_d loss_{t,d}  (+ r_drop x disagreement) (+ pull of the anchors) (+ AdaLoRA's penalty)
            (+ the same weighted sum again where the inputs are perturbed)

The losses are as precise as float32; the passes run in the run's own precision.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from chain_core.config import Config
from chain_core.errors import ConfigError
from chain_core.modeling.backbones.backbone import Backbone
from chain_core.modeling.backbones.ranks import compute_orthogonality
from chain_core.modeling.backbones.sharding import clip_gradient
from chain_core.modeling.batch import Batch
from chain_core.modeling.device import autocast
from chain_core.modeling.failures import portable
from chain_core.modeling.model import ChainModel
from chain_core.modeling.team import SOLO, Team
from chain_core.training.agreement import COMPARISONS, compute_disagreement, count_compared
from chain_core.training.anchors import Anchor, compute_pull
from chain_core.training.evaluate import Key
from chain_core.training.losses import Losses, compute_errors, compute_losses, compute_total
from chain_core.training.perturb import build_shifts, find_worst_shifts
from chain_core.training.pruning import Errors
from chain_core.training.scaling import UNSCALED, LossScale
from chain_core.training.sums import sum_gradient


def take_step(
    model: ChainModel,
    batch: Batch,
    config: Config,
    optimiser: torch.optim.Optimizer,
    device: torch.device,
    dtype: torch.dtype,
    *,
    anchors: Sequence[Anchor] = (),
    progress: tuple[int, int] | None = None,
    parts: int = 1,
    scale: LossScale = UNSCALED,
    read: Callable[[Batch], Batch] = lambda batch: batch,
    look: Callable[[ChainModel], None] | None = None,
    note: Callable[[np.ndarray, Errors], None] | None = None,
    team: Team = SOLO,
    rows: int | None = None,
) -> Losses:
    """One update; returns each head's loss at each depth, and under ("", 0) the total of the unperturbed passes.

    `progress`: this step's number, from 1, and how many there will be in which the backbone trains; `parts`: how many
    the batch is cut into, one on the device at a time; `scale`: by what the loss is multiplied, where a gradient that
    comes out too large leaves the weights as they are; `read`: makes of a part what the model reads;
    `look`: sees the gradient before it is clipped; `note`: is told of rows and their errors; `team`: each of its
    processes brings a batch of its own, its `Team.share` of `rows`.
    Raises ConfigError where the loss is no finite number any more.
    """
    settings, pruned = config.train, _find_pruned(model)
    pieces, counted = cut_pieces(model, batch, parts, team, rows)
    shares = compute_shares(model, pieces[:counted], device, team) if len(pieces) * team.size > 1 else [None]
    optimiser.zero_grad(set_to_none=True)
    summed: Losses = {}
    noted: list[tuple[np.ndarray, Errors]] = []
    failure = None
    try:
        for number, piece in enumerate(pieces):
            share = shares[number] if number < counted else NOTHING
            pulls = _list_pulls(model, anchors, pruned) if team.main and not number else []
            heard = noted.append if note is not None and number < counted else None
            found = _add_gradient(model, read(piece).to(device), config, device, dtype, scale, share, pulls, heard)
            summed = {key: summed[key] + value for key, value in found.items()} if summed else found
    except Exception as error:
        if team.size == 1 or model.sharded:  # of which the others' passes cannot go on either
            raise
        failure = portable(error)
    if team.size > 1:
        summed = sum_gradient(model, summed, team, failure)
    if not scale.undo(model, team):
        return summed
    if note is not None:
        for each in noted:
            note(*each)
    if look is not None:
        look(model)
    if settings.clip is not None:
        clip_gradient(model, settings.clip, team)
    optimiser.step()
    if pruned is not None and pruned.ranks is not None and progress is not None:
        pruned.ranks.follow(pruned, *progress)
    return summed


def cut_pieces(model: ChainModel, batch: Batch, parts: int, team: Team, rows: int | None) -> tuple[list[Batch], int]:
    """A process's rows in parts, and how many of these count: where passes must be made by all alike, what is short is
    filled up, and where a team has more processes than rows the last ones' row is another's."""
    rows = len(batch.rows) if rows is None else rows
    pieces = batch.split(parts)
    counted = len(pieces) if team.rank < rows else 0
    passes = min(parts, -(-rows // team.size)) if model.sharded else 1
    return pieces + [pieces[-1]] * (passes - len(pieces)), counted


def _list_pulls(model: ChainModel, anchors: Sequence[Anchor], pruned: Backbone | None) -> list[Callable[[], Tensor]]:
    """What pulls at the weights once a step, whatever the rows are."""
    pulls: list[Callable[[], Tensor]] = []
    if anchors:
        pulls.append(partial(compute_pull, model, anchors))
    if pruned is not None:
        pulls.append(partial(compute_orthogonality, pruned))
    return pulls


@dataclass(frozen=True)
class Share:
    """One part's share in the means over its batch."""

    losses: Mapping[str, float]
    """Head -> share of what its loss is a mean over."""
    compared: Mapping[str, float]
    """Head -> share of what its disagreement is a mean over."""


NOTHING = Share(defaultdict(float), defaultdict(float))
"""Of rows that do not count."""


def compute_shares(model: ChainModel, pieces: Sequence[Batch], device: torch.device, team: Team) -> list[Share]:
    """How the parts' means add up to the batch's: sum over all processes' parts of share x mean of the part."""
    heads = {name: model.chain.get_head(name, depth) for name, depth in model.chain.active_keys}

    def count() -> np.ndarray:
        """(parts, 2, heads): what losses are means over, and what disagreements are."""
        counts = np.zeros((len(pieces), 2, len(heads)))
        for number, piece in enumerate(pieces):
            bare = replace(piece, hidden={}).to(device)
            counts[number, 0] = [head.compute_mass(bare.labels[name], bare) for name, head in heads.items()]
            counts[number, 1] = [count_compared(head.task.kind, bare) for head in heads.values()]
        return counts

    counts = team.survey(count)
    whole = np.concatenate(counts).sum(0)
    shares = counts[team.rank] / np.where(whole, whole, 1)
    return [Share(*(dict(zip(heads, part.tolist(), strict=True)) for part in piece)) for piece in shares]


def _add_gradient(
    model: ChainModel,
    batch: Batch,
    config: Config,
    device: torch.device,
    dtype: torch.dtype,
    scale: LossScale,
    share: Share | None,
    pulls: Sequence[Callable[[], Tensor]],
    note: Callable[[tuple[np.ndarray, Errors]], None] | None = None,
) -> Losses:
    """Add a batch's scaled gradient, or a part's share in it, to what is there; what it adds to the losses and the
    total."""
    settings = config.train
    portions = share.losses if share is not None else None
    shifts = build_shifts(model, batch) if settings.adversarial else None
    agrees = settings.r_drop > 0 and any(
        model.chain.get_head(*key).task.kind in COMPARISONS for key in model.chain.active_keys
    )
    outputs = [_run(model, batch, device, dtype, shifts) for _ in range(2 if agrees else 1)]
    if note is not None:
        for values in outputs[0].values():
            if values.requires_grad:  # which a resting head's on the frozen backbone do not
                values.retain_grad()
    passes = [compute_losses(model, logits, batch) for logits in outputs]
    losses = {key: torch.stack([one[key] for one in passes]).mean(0) for key in passes[0]}
    total = compute_total(losses, config, model.log_variances, portions)
    if agrees:
        compared = share.compared if share is not None else None
        total = total + settings.r_drop * _disagree(model, outputs, batch, config, compared)
    for pull in pulls:
        total = total + pull()
    if not torch.isfinite(total):
        raise _explain_infinite(dtype, settings.learning_rate)
    scale.apply(total).backward()
    if note is not None:
        note((batch.rows, compute_errors(model, outputs[0], batch, portions, scale.factor)))
    if shifts is not None:
        worst = find_worst_shifts(shifts, batch.mask, settings.adversarial)
        logits = _run(model, batch, device, dtype, worst)
        again = compute_total(compute_losses(model, logits, batch), config, model.log_variances, portions)
        scale.apply(again).backward()
    told = {key: loss.detach() * (portions[key[0]] if portions is not None else 1) for key, loss in losses.items()}
    return {**told, ("", 0): total.detach()}


def _explain_infinite(dtype: torch.dtype, rate: float) -> ConfigError:
    if dtype == torch.float16:
        return ConfigError("loss_overflows", path="train.precision", rate=rate)
    return ConfigError("loss_not_finite", path="train.learning_rate", given=rate)


def _run(model: ChainModel, batch: Batch, device: torch.device, dtype: torch.dtype, shifts) -> dict[Key, Tensor]:
    with autocast(device, dtype):
        return model(batch, shifts)


def _disagree(
    model: ChainModel,
    outputs: Sequence[Mapping[Key, Tensor]],
    batch: Batch,
    config: Config,
    portions: Mapping[str, float] | None,
) -> Tensor:
    """The heads' disagreement between two passes, weighted as their losses are."""
    assert config.heads is not None
    total = torch.zeros((), device=batch.mask.device)
    for head, depth in outputs[0]:
        weight = config.heads[head].weight * config.get_depth_weights(head)[depth]
        if portions is not None:
            weight *= portions[head]
        kind = model.chain.get_head(head, depth).task.kind
        gap = compute_disagreement(kind, outputs[0][head, depth], outputs[1][head, depth], batch)
        total = total if gap is None else total + weight * gap
    return total


def _find_pruned(model: ChainModel) -> Backbone | None:
    """The half whose ranks AdaLoRA prunes, while its factors train."""
    if model.upper is None or model.upper.ranks is None:
        return None
    return model.upper if any(parameter.requires_grad for parameter in model.upper.parameters()) else None
