"""The shapes of a backbone's weights, from the headers of its safetensors files."""

from __future__ import annotations

import json
import math
import re
import struct
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chain_core.config import LORA_TUNINGS, BackboneConfig
from chain_core.errors import BackboneError

Shape = tuple[int, ...]
KEYS_AND_VALUES = frozenset({"key", "value", "k_lin", "v_lin", "k_proj", "v_proj", "c_attn", "query_key_value"})
"""What the families call the products that make keys and values, or queries, keys and values at once."""
FEED_FORWARD = ("output.dense", "ffn.lin2", "mlp.c_proj", "down_proj", "fc2", "dense_4h_to_h")
"""What they call the feed-forward part's second product."""
TRANSPOSED = frozenset({"gpt2", "openai-gpt", "imagegpt", "decision_transformer"})
"""Model types whose linear layers keep their weights as (in, out)."""
_IN_LAYER = re.compile(r"^(.*?)\.?(\d+)\.(.+)$")
_NOT_USED = re.compile(r"(^|\.)(pooler|cls|lm_head|classifier|score|qa_outputs)\.")
_OLD_NORM = re.compile(r"(?<=LayerNorm\.)(gamma|beta)$")
_NEW_NORM = {"gamma": "weight", "beta": "bias"}
_BUFFERS = re.compile(r"(^|\.)(attn|attention)\.(masked_)?bias$|(^|\.)rotary_emb\.inv_freq$")
"""What older files keep beside the parameters: causal masks and rotary frequencies."""
_FLOATS = {"F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2"}


@dataclass(frozen=True)
class BackboneShapes:
    """Parameters by name, layer by layer."""

    layers: tuple[Mapping[str, Shape], ...]
    """Of layer 1 … L: a parameter's name inside its layer -> its shape."""
    rest: int
    """Parameters outside the layers that hidden states pass through: embeddings and the final norm."""
    transposed: bool = False
    """Whether linear weights are kept as (in, out) instead of (out, in)."""

    def count_layers(self, start: int) -> int:
        """Parameters of the layers above layer `start`."""
        return sum(math.prod(shape) for layer in self.layers[start:] for shape in layer.values())

    def count_added(self, start: int, config: BackboneConfig) -> int:
        """Parameters that a tuning adds to the layers above layer `start`."""
        if config.tuning in LORA_TUNINGS:
            return self.count_lora(start, config)
        names = [(layer, *find_ia3_names(list(_find_linear(layer)))) for layer in self.layers[start:]]
        if config.tuning == "ia3":
            outputs = sum(self._get_sizes(layer, name)[1] for layer, scaled, _ in names for name in scaled)
            return outputs + sum(self._get_sizes(layer, name)[0] for layer, _, feeding in names for name in feeding)
        if config.tuning == "prefix":
            return config.prefix_length * sum(self._count_keys_and_values(layer) for layer in self.layers[start:])
        return 0

    def has_ia3(self, start: int) -> bool:
        """Whether the layers above layer `start` have keys, values and feed-forward layers of names that IA3 knows."""
        found = [find_ia3_names(list(_find_linear(layer))) for layer in self.layers[start:]]
        return any(scaled for scaled, _ in found) and any(feeding for _, feeding in found)

    def count_lora(self, start: int, config: BackboneConfig) -> int:
        """Of the factors on each target above layer `start`: rank x (in + out), and what DoRA and AdaLoRA add."""
        total = 0
        for layer in self.layers[start:]:
            for name in _find_linear(layer):
                if is_target(name, config.targets):
                    size_in, size_out = self._get_sizes(layer, name)
                    more = {"dora": size_out, "adalora": config.rank}.get(config.tuning, 0)
                    total += config.rank * (size_in + size_out) + more
        return total

    def count_norms(self, start: int) -> int:
        """Parameters of the norms inside the layers above layer `start`: those whose weight is a vector."""
        total = 0
        for layer in self.layers[start:]:
            norms = {name.removesuffix(".weight") for name, shape in layer.items()
                     if name.endswith(".weight") and len(shape) == 1}  # fmt: skip
            total += sum(math.prod(shape) for name, shape in layer.items() if name.rpartition(".")[0] in norms)
        return total

    def _get_sizes(self, layer: Mapping[str, Shape], name: str) -> tuple[int, int]:
        """(in, out) of a linear layer."""
        first, second = layer[f"{name}.weight"]
        return (first, second) if self.transposed else (second, first)

    def _count_keys_and_values(self, layer: Mapping[str, Shape]) -> int:
        """Features of a position's key and value together."""
        names, _ = find_ia3_names(list(_find_linear(layer)))
        sizes = [self._get_sizes(layer, name) for name in names]
        # Queries, keys and values in one product: two thirds of it.
        return sizes[0][1] * 2 // 3 if len(sizes) == 1 else sum(size for _, size in sizes)

    def find_target_names(self, start: int = 0) -> tuple[str, ...]:
        """The linear layers that LoRA can wrap, by the last part of their names, in the model's order."""
        names = (name.rpartition(".")[2] for layer in self.layers[start:] for name in _find_linear(layer))
        return tuple(dict.fromkeys(names))


def read_shapes(folder: Path, num_layers: int) -> BackboneShapes:
    """The shapes of a backbone. Raises BackboneError where the files do not show `num_layers` layers."""
    found: dict[str, Shape] = {}
    for path in sorted(folder.glob("*.safetensors")):
        found |= read_header(path)
    lists: dict[str, dict[int, dict[str, Shape]]] = defaultdict(lambda: defaultdict(dict))
    for name, shape in found.items():
        if match := _IN_LAYER.match(name):
            prefix, index, inner = match.groups()
            lists[prefix][int(index)][inner] = shape
    fitting = [prefix for prefix, layers in lists.items() if set(layers) == set(range(num_layers))]
    if not fitting:
        raise BackboneError("backbone_no_weights", folder=str(folder))
    prefix = fitting[0]
    layers = tuple(lists[prefix][index] for index in range(num_layers))
    rest = sum(
        math.prod(shape)
        for name, shape in found.items()
        if not _NOT_USED.search(name) and not re.match(rf"{re.escape(prefix)}\.?\d+\.", name)
    )
    return BackboneShapes(layers, rest, _read_type(folder) in TRANSPOSED)


def _find_linear(layer: Mapping[str, Shape]) -> dict[str, Shape]:
    return {
        name.removesuffix(".weight"): shape
        for name, shape in layer.items()
        if name.endswith(".weight") and len(shape) == 2
    }


def find_ia3_names(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Of a layer's linear layers: those whose outputs IA3 scales (keys, values), and whose inputs (feed-forward)."""
    outputs = [name for name in names if name.rpartition(".")[2] in KEYS_AND_VALUES]
    inputs = [name for name in names if any(f".{name}".endswith(f".{part}") for part in FEED_FORWARD)]
    return outputs, [name for name in inputs if not name.startswith("attention.")]


def is_target(name: str, targets: str | Sequence[str]) -> bool:
    return targets == "all-linear" or name.rpartition(".")[2] in targets or name in targets


def _read_type(folder: Path) -> str:
    try:
        return str(json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type"))
    except (OSError, ValueError):
        return ""


def read_header(path: Path) -> dict[str, Shape]:
    """Name -> shape of each weight in a safetensors file. Raises BackboneError where it is none."""
    return {
        _OLD_NORM.sub(lambda match: _NEW_NORM[match[1]], name): tuple(entry["shape"])
        for name, entry in load_header(path).items()
        if entry["dtype"] in _FLOATS and not _BUFFERS.search(name)
    }


def load_header(path: Path) -> dict[str, dict[str, Any]]:
    """Name -> dtype, shape and place of each tensor in a safetensors file. Raises BackboneError where it is none."""
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = dict(json.loads(file.read(min(length, 100_000_000))))
    except (OSError, ValueError, TypeError, struct.error):
        raise BackboneError("backbone_no_weights", folder=str(path.parent)) from None
    return {name: entry for name, entry in header.items() if name != "__metadata__"}
