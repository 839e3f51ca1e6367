"""The keys of a draft that a sweep can vary: their names, what they may hold, and values worth trying. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chain_core.config import (
    AugmentConfig,
    BackboneConfig,
    ChainConfig,
    Config,
    DataConfig,
    HeadConfig,
    InputConfig,
    LinkConfig,
    StageConfig,
    StartConfig,
    TrainConfig,
)
from chain_core.config.fields import Section
from chain_core.ui.chain.edit import complete, get_value
from chain_core.ui.chain.limits import Limits, read_limits
from chain_core.ui.chain.spec import GROUPS

_LABELS = {(group.section, field.name): (field.label, field.prefix) for group in GROUPS for field in group.fields}
_LABELS |= {
    (Config, "preset"): ("chain.preset", ""),
    (BackboneConfig, "name"): ("chain.backbone", ""),
    (BackboneConfig, "tuning"): ("chain.tuning", ""),
    (ChainConfig, "depth"): ("chain.depth", ""),
    (ChainConfig, "width"): ("chain.width", ""),
    (TrainConfig, "epochs"): ("chain.epochs", ""),
    (TrainConfig, "batch_size"): ("chain.batch_size", ""),
    (HeadConfig, "kind"): ("chain.kind", ""),
    (HeadConfig, "column"): ("chain.column", ""),
    (HeadConfig, "depths"): ("chain.depths", ""),
    (HeadConfig, "weight"): ("chain.weight", ""),
}
"""(section, key) -> its name in the catalogues, and its choices' prefix where that is another."""
_SECTIONS: tuple[tuple[type[Section], str], ...] = (
    (ChainConfig, "chain"), (LinkConfig, "chain.links"), (BackboneConfig, "backbone"), (TrainConfig, "train"),
    (AugmentConfig, "augment"), (DataConfig, "data"), (InputConfig, "input"),
)  # fmt: skip
_VALUES: dict[str, Sequence[Any]] = {
    "chain.depth": range(7), "chain.links.density": (0.25, 0.5, 1.0), "chain.width": (128, 256, 512),
    "backbone.tuning": ("frozen", "lora"), "train.seed": (0, 1, 2), "train.learning_rate": (3e-4, 1e-3, 3e-3),
    "backbone.rank": (4, 8, 16, 32), "chain.links.dropout": (0.0, 0.1, 0.3), "train.weight_decay": (0.0, 0.01, 0.1),
    "chain.links.kernel": (3, 5, 7), "chain.links.kind": ("bottleneck", "attention"),
}  # fmt: skip
"""Key -> what a grid begins with."""
_RANGES: dict[str, tuple[float, float, bool]] = {
    "chain.depth": (0, 6, False), "chain.links.density": (0.1, 1.0, False), "chain.width": (64, 512, True),
    "train.seed": (0, 99, False), "train.learning_rate": (1e-4, 1e-2, True),
    "train.backbone_learning_rate": (1e-5, 1e-3, True), "backbone.rank": (4, 64, True),
    "chain.links.dropout": (0.0, 0.5, False), "train.weight_decay": (1e-4, 0.3, True), "train.epochs": (3, 30, False),
    "train.batch_size": (16, 128, True),
}  # fmt: skip
"""Key -> low, high and whether ratios count: what a search begins with."""


@dataclass(frozen=True)
class Key:
    """One key of a draft."""

    path: str
    label: str
    """In the catalogues; "" where it has none."""
    head: str
    """The name of the head or the number of the stage that it belongs to; "" for others."""
    limits: Limits
    words: str
    """What the names of its choices begin with in the catalogues."""
    value: Any
    """What the draft has now, defaults included."""

    @property
    def numeric(self) -> bool:
        return self.limits.kind in ("whole", "real")


def list_keys(draft: Mapping[str, Any]) -> dict[str, Key]:
    """Path -> key of all that a sweep of this draft can vary."""
    whole = complete(draft)
    return {key.path: key for key in _list_keys(whole)}


def _list_keys(whole: Mapping[str, Any]) -> Iterator[Key]:
    for section, path in _SECTIONS:
        yield from _list_section(whole, section, path)
    for name in whole["heads"] if isinstance(whole.get("heads"), Mapping) else ():
        yield from _list_section(whole, HeadConfig, f"heads.{name}", str(name))
    stages = whole.get("stages")
    for index in range(len(stages) if isinstance(stages, list) else 0):
        yield from _list_section(whole, StageConfig, f"stages[{index}]", str(index + 1))
    if whole.get("start"):
        yield from _list_section(whole, StartConfig, "start")
    yield _build_key(whole, Config, "preset", "")


def _list_section(whole: Mapping[str, Any], section: type[Section], path: str, head: str = "") -> Iterator[Key]:
    for name, field in section.model_fields.items():
        inner = field.annotation
        nested = isinstance(inner, type) and issubclass(inner, Section)
        if not nested and (section, name) != (ChainConfig, "links"):
            yield _build_key(whole, section, name, path, head)


def _build_key(whole: Mapping[str, Any], section: type[Section], name: str, base: str, head: str = "") -> Key:
    path = f"{base}.{name}" if base else name
    label, prefix = _LABELS.get((section, name), ("", ""))
    parts = path.replace("[", ".").replace("]", "").split(".")
    place = tuple(int(part) if part.isdecimal() else part for part in parts)
    return Key(path, label, head, read_limits(section, name), prefix or label, get_value(whole, place))


def suggest_values(key: Key) -> list[Any]:
    """What a grid of this key begins with."""
    if key.path in _VALUES:
        return list(_VALUES[key.path])
    if key.limits.kind == "switch":
        return [False, True]
    if key.limits.kind == "choice":
        return list(key.limits.options)[:3]
    if not key.numeric or not _is_number(key.value) or not key.value:
        return [] if key.value is None else [key.value]
    near = [fit(key, key.value * factor) for factor in (0.5, 1, 2)]
    return list(dict.fromkeys(near))


def suggest_range(key: Key) -> tuple[float, float, bool]:
    """Low, high and whether ratios count: what a search of a number begins with."""
    if key.path in _RANGES:
        return _RANGES[key.path]
    value = key.value if _is_number(key.value) and key.value else 1
    low, high = fit(key, value / 4), fit(key, value * 4)
    return (low, high, False) if low < high else (key.limits.low, key.limits.high, False)


def fit(key: Key, value: float) -> float:
    """The nearest value that the key may hold."""
    limits = key.limits
    margin = 1e-6 if limits.kind == "real" else 1
    low = limits.low + margin * limits.above
    high = limits.high - margin * limits.below
    near = min(max(value, low), high)
    return round(near) if limits.kind == "whole" else float(f"{near:.4g}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
