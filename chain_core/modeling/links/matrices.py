"""What a transformer layer multiplies by, read in one form whatever its family calls it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from chain_core.errors import ConfigError
from chain_core.modeling.backbones.pretrained import PretrainedLayer
from chain_core.modeling.links.families import find_names


@dataclass(frozen=True)
class Matrices:
    """A layer's products, each as (out, in + 1): the bias is the last column. F: its inner width."""

    query: Tensor
    """(heads, size, H + 1); so are `key` and `value`."""
    key: Tensor
    value: Tensor
    output: Tensor
    """(H, heads x size + 1)"""
    up: Tensor
    """(F, H + 1): of a gated layer, the gate."""
    down: Tensor
    """(H, F + 1)"""


@torch.no_grad()
def read_matrices(source: PretrainedLayer) -> Matrices:
    """A layer's matrices, with the gains and shifts of the norms in front of them multiplied in.

    Raises ConfigError for a family that it does not know.
    """
    modules = dict(source.layer.named_modules())
    names = find_names(modules)
    if names is None:
        raise ConfigError("init_backbone_family", path="chain.links", model_type=str(source.config.model_type))
    heads = int(source.config.num_attention_heads)
    first = modules[names.norm_first] if names.norm_first else None
    if names.query == names.key:
        joined = _fold(_read(modules[names.query]), first)
        query, key, value = (part.unflatten(0, (heads, -1)) for part in joined.chunk(3))
    else:
        size = len(_read(modules[names.query])) // heads
        query, key, value = (
            _fold(_read(modules[name]), first).unflatten(0, (-1, size))
            for name in (names.query, names.key, names.value)
        )
        # Where several heads of queries share one of keys and values, each gets it.
        key, value = (part.repeat_interleave(heads // len(part), 0) for part in (key, value))
    return Matrices(
        query,
        key,
        value,
        output=_read(modules[names.output]),
        up=_fold(_read(modules[names.up]), modules[names.norm]),
        down=_read(modules[names.down]),
    )


def _read(module: nn.Module) -> Tensor:
    """(out, in + 1) of a linear layer; GPT-2 keeps its weights the other way round."""
    weight, bias = module.weight, module.bias
    assert isinstance(weight, Tensor)
    weight = weight if isinstance(module, nn.Linear) else weight.T
    column = bias if isinstance(bias, Tensor) else weight.new_zeros(len(weight))
    return torch.cat([weight, column[:, None]], 1).float()


def _fold(matrix: Tensor, norm: nn.Module | None) -> Tensor:
    """W (gain * x + shift) + b as one matrix over x."""
    if norm is None:
        return matrix
    weight, bias = matrix[:, :-1], matrix[:, -1]
    shift = getattr(norm, "bias", None)
    if isinstance(shift, Tensor):
        bias = bias + weight @ shift
    assert isinstance(norm.weight, Tensor)
    return torch.cat([weight * norm.weight, bias[:, None]], 1)
