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

from chain_core.errors import BackboneError

Shape = tuple[int, ...]
_IN_LAYER = re.compile(r"^(.*?)\.?(\d+)\.(.+)$")
_NOT_USED = re.compile(r"(^|\.)(pooler|cls|lm_head|classifier|score|qa_outputs)\.")
_FLOATS = {"F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2"}


@dataclass(frozen=True)
class BackboneShapes:
    """Parameters by name, layer by layer."""

    layers: tuple[Mapping[str, Shape], ...]
    """Of layer 1 … L: a parameter's name inside its layer -> its shape."""
    rest: int
    """Parameters outside the layers that hidden states pass through: embeddings and the final norm."""

    def count_layers(self, start: int) -> int:
        """Parameters of the layers above layer `start`."""
        return sum(math.prod(shape) for layer in self.layers[start:] for shape in layer.values())

    def count_lora(self, start: int, rank: int, targets: str | Sequence[str]) -> int:
        """Of LoRA's two factors on each target above layer `start`: rank x (in + out)."""
        return sum(
            rank * sum(shape)
            for layer in self.layers[start:]
            for name, shape in _find_linear(layer).items()
            if _is_target(name, targets)
        )

    def find_target_names(self, start: int = 0) -> tuple[str, ...]:
        """The linear layers that LoRA can wrap, by the last part of their names, in the model's order."""
        names = (name.rpartition(".")[2] for layer in self.layers[start:] for name in _find_linear(layer))
        return tuple(dict.fromkeys(names))


def read_shapes(folder: Path, num_layers: int) -> BackboneShapes:
    """The shapes of a backbone. Raises BackboneError where the files do not show `num_layers` layers."""
    found: dict[str, Shape] = {}
    for path in sorted(folder.glob("*.safetensors")):
        found |= _read_header(path)
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
    return BackboneShapes(layers, rest)


def _find_linear(layer: Mapping[str, Shape]) -> dict[str, Shape]:
    return {
        name.removesuffix(".weight"): shape
        for name, shape in layer.items()
        if name.endswith(".weight") and len(shape) == 2
    }


def _is_target(name: str, targets: str | Sequence[str]) -> bool:
    return targets == "all-linear" or name.rpartition(".")[2] in targets or name in targets


def _read_header(path: Path) -> dict[str, Shape]:
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(min(length, 100_000_000)))
    except (OSError, ValueError, struct.error):
        raise BackboneError("backbone_no_weights", folder=str(path.parent)) from None
    return {
        name: tuple(entry["shape"])
        for name, entry in header.items()
        if name != "__metadata__" and entry["dtype"] in _FLOATS
    }
