"""Init `backbone`: links that begin from what the tapped layer's weights do, carried into the chain's width.

A state x (D) of the chain stands for basis^T x (H) of the backbone, so a product W of the layer becomes
basis W basis^T. What the link has room for is kept in the order of its weight: attention heads, neurons, directions.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from chain_core.modeling.links.link import Link
from chain_core.modeling.links.matrices import Matrices


@torch.no_grad()
def inherit_linear(link: Link, matrices: Matrices, basis: Tensor) -> None:
    """What the layer's attention gives a position that looks at itself alone: the product of values and output."""
    reduce, out = link.reduce, link.out
    assert isinstance(out, nn.Linear)
    value = _narrow(matrices.value.flatten(0, 1), basis)
    output = basis @ matrices.output
    weight = output[:, :-1] @ value[:, :-1]
    out.bias.copy_(output[:, :-1] @ value[:, -1] + output[:, -1])
    if not isinstance(reduce, nn.Linear):
        out.weight.copy_(weight)
        return
    left, right = _approximate(torch.eye(len(weight)), weight, len(reduce.weight))
    out.weight.copy_(left.T)
    reduce.weight.copy_(right)


@torch.no_grad()
def inherit_bottleneck(link: Link, matrices: Matrices, basis: Tensor) -> None:
    """The feed-forward part: its neurons of largest norm."""
    _inherit_neurons(link.into, link.out, matrices, basis)  # type: ignore[arg-type]


@torch.no_grad()
def inherit_attention(link: Link, matrices: Matrices, basis: Tensor) -> None:
    """The attention heads that add most, each head of the link one of the layer's; and the feed-forward part.

    Where the layer's heads fit into the link's inner width, the link's heads take their size: a link as wide as the
    backbone then attends as the layer does. Else each head is cut to the directions that matter most.
    """
    heads, own, _ = matrices.query.shape
    inner = int(link.inner)  # type: ignore[arg-type]
    if inner % own == 0:
        link.head_size = own  # type: ignore[assignment]
    size = int(link.head_size)  # type: ignore[arg-type]
    joined, out = link.query_key_value, link.out
    assert isinstance(joined, nn.Linear)
    assert isinstance(out, nn.Linear)
    query, key, value = (_narrow(part, basis) for part in (matrices.query, matrices.key, matrices.value))
    output = (basis @ matrices.output[:, :-1]).unflatten(1, (heads, own)).permute(1, 2, 0)  # (heads, own, D)
    strength = torch.stack([(output[head].T @ value[head]).norm() for head in range(heads)])
    kept = strength.argsort(descending=True)[: inner // size]
    weight = joined.weight.view(3, -1, size, joined.in_features)
    bias = joined.bias.view(3, -1, size)
    columns = out.weight.view(out.out_features, -1, size)
    columns.zero_()
    for place, head in enumerate(sorted(kept.tolist())):
        # The link divides its scores by the root of its own heads' size.
        asking, asked = _approximate(query[head] * (size / own) ** 0.5, key[head], size)
        giving, given = _approximate(output[head], value[head], size)
        for part, rows in enumerate((asking, asked, given)):
            weight[part, place].copy_(rows[:, :-1])
            bias[part, place].copy_(rows[:, -1])
        columns[:, place].copy_(giving.T)
    out.bias.copy_(basis @ matrices.output[:, -1])
    _inherit_neurons(link.into, link.back, matrices, basis)  # type: ignore[arg-type]


INHERIT: dict[str, Callable[[Link, Matrices, Tensor], None]] = {
    "linear": inherit_linear,
    "bottleneck": inherit_bottleneck,
    "attention": inherit_attention,
}
"""Kind -> how its links begin from a layer. A backbone link does so by itself; a conv has no like in the layers."""


def _narrow(matrix: Tensor, basis: Tensor) -> Tensor:
    """(…, H + 1) over the backbone's states -> (…, D + 1) over the chain's."""
    return torch.cat([matrix[..., :-1] @ basis.T, matrix[..., -1:]], -1)


def _inherit_neurons(into: nn.Linear, out: nn.Linear, matrices: Matrices, basis: Tensor) -> None:
    """Where the layer has fewer neurons than the link, the others begin unheard."""
    up, down = _narrow(matrices.up, basis), basis @ matrices.down
    strength = up.norm(dim=1) * down[:, :-1].norm(dim=0)
    kept = strength.argsort(descending=True)[: len(into.weight)].sort().values
    into.weight[: len(kept)].copy_(up[kept, :-1])
    into.bias[: len(kept)].copy_(up[kept, -1])
    out.weight.zero_()
    out.weight[:, : len(kept)].copy_(down[:, kept])
    out.bias.copy_(down[:, -1])


def _approximate(first: Tensor, second: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """(s, a), (s, b) -> (rank, a), (rank, b) whose first^T second is the best approximation of that rank.

    As given, with rows of zeros below, where the rank is no less than s.
    """
    count = len(first)
    if rank >= count:
        padding = (0, 0, 0, rank - count)
        return nn.functional.pad(first, padding), nn.functional.pad(second, padding)
    (left, upper), (right, lower) = torch.linalg.qr(first.T), torch.linalg.qr(second.T)
    turned, values, back = torch.linalg.svd(upper @ lower.T)
    roots = values[:rank].sqrt()
    return (left @ turned[:, :rank] * roots).T, (right @ back[:rank].T * roots).T
