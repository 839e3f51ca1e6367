"""What a sweep varies: keys of the config, each over listed values or a range. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

import yaml

from chain_core.config import MAX_DEPTH, fit_depth, read_value
from chain_core.errors import ConfigError

DEPTH = "chain.depth"
SEED = "train.seed"
_RANGE = re.compile(r"(?P<low>[-+.\deE]*?)\.\.(?P<high>[-+.\deE]*?)(?P<log>:log)?")
_NUMBER = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+")
"""What YAML 1.1 takes for a word: 1e-3."""


@dataclass(frozen=True)
class Axis:
    """One key and what it may be: the `values`, or where there are none all from `low` to `high`."""

    path: str
    """`chain.links.density`; `*` stands for every entry of a mapping or list."""
    values: tuple[Any, ...] = ()
    low: float | None = None
    high: float | None = None
    log: bool = False
    """Whether equal ratios count as equally far."""
    whole: bool = False

    def list_values(self) -> tuple[Any, ...]:
        """Every value. Raises ConfigError for a range of fractions, which has no end of them."""
        if self.values or self.low is None or self.high is None:
            return self.values
        if not self.whole:
            raise ConfigError("axis_endless", path=self.path)
        return tuple(range(int(self.low), int(self.high) + 1))

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "values": list(self.values)}

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Axis:
        return Axis(**{**value, "values": tuple(value["values"])})


def parse_axis(text: str) -> Axis:
    """`chain.depth=0,1,2`, `chain.depth=0..6`, `train.learning_rate=1e-4..1e-2:log`. Raises ConfigError."""
    path, equals, given = (part.strip() for part in text.partition("="))
    if not path or not equals or not given:
        raise ConfigError("axis_form", axis=text)
    return read_axis(path, given)


def read_axis(path: str, given: str) -> Axis:
    """The same of a key and the text of what it may be."""
    found = _RANGE.fullmatch(given.strip())
    return _read_range(path, given, **found.groupdict()) if found else _read_values(path, given)


def _read_range(path: str, given: str, low: str, high: str, log: str | None) -> Axis:
    try:
        ends = float(low), float(high)
    except ValueError:
        raise ConfigError("axis_form", axis=f"{path}={given}") from None
    return build_range(path, *ends, log=bool(log), whole=all(re.fullmatch(r"[-+]?\d+", end) for end in (low, high)))


def build_range(path: str, low: float, high: float, *, log: bool = False, whole: bool = False) -> Axis:
    """Raises ConfigError where there is nothing between the ends, or a ratio cannot be taken of them."""
    if not (math.isfinite(low) and math.isfinite(high)) or low >= high or (log and low <= 0):
        raise ConfigError("axis_range", path=path, low=low, high=high)
    return Axis(path, (), low, high, log, whole)


def _read_values(path: str, given: str) -> Axis:
    try:
        values = read_value(f"[{given}]")
    except yaml.YAMLError:
        raise ConfigError("axis_form", axis=f"{path}={given}") from None
    return build_choices(path, [_read_number(value) for value in values])


def build_choices(path: str, values: Sequence[Any]) -> Axis:
    """Listed values, each once. Raises ConfigError where there is none."""
    kept = [value for index, value in enumerate(values) if not _stands_in(value, values[:index])]
    if not kept:
        raise ConfigError("axis_empty", path=path)
    return Axis(path, tuple(kept))


def _stands_in(value: Any, others: Sequence[Any]) -> bool:
    """Equal and of one type: 1 and true are two values."""
    return any(value == other and type(value) is type(other) for other in others)


def _read_number(value: Any) -> Any:
    return float(value) if isinstance(value, str) and _NUMBER.fullmatch(value) else value


def check_axes(axes: Sequence[Axis]) -> None:
    """Raises ConfigError where there is none, or a key stands twice."""
    if not axes:
        raise ConfigError("axis_none")
    paths = [axis.path for axis in axes]
    for path in paths:
        if paths.count(path) > 1:
            raise ConfigError("axis_twice", path=path)


def count_combinations(axes: Sequence[Axis]) -> int:
    """Raises ConfigError as `Axis.list_values`."""
    return math.prod(_count(axis) for axis in axes)


def _count(axis: Axis) -> int:
    if axis.whole and axis.low is not None and axis.high is not None:
        return int(axis.high) - int(axis.low) + 1  # without listing what may be millions
    return len(axis.list_values())


def list_combinations(axes: Sequence[Axis]) -> list[dict[str, Any]]:
    """Path -> value of each; the last axis changes first."""
    return [
        dict(zip((axis.path for axis in axes), values, strict=True))
        for values in product(*(axis.list_values() for axis in axes))
    ]


def apply_values(base: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """The mapping with each value at its key. Links, taps and heads follow another depth as on the Chain page.

    Raises ConfigError for an entry of a list that is not there.
    """
    mapping = dict(base)
    depth = values.get(DEPTH)
    if isinstance(depth, int) and 0 <= depth <= MAX_DEPTH:
        mapping = fit_depth(mapping, depth)
    for path, value in values.items():
        mapping = _set_inside(mapping, path.replace("[", ".").replace("]", "").split("."), value, path)
    return mapping


def _set_inside(container: Any, parts: Sequence[str], value: Any, path: str) -> Any:
    """A copy of the mapping or list with the value in it; a key laid on a list of mappings is laid on each."""
    part, rest = parts[0], parts[1:]
    inside = (lambda old: _set_inside(old, rest, value, path)) if rest else (lambda old: value)
    if isinstance(container, list | tuple):
        if part.isdecimal():
            if int(part) >= len(container):
                raise ConfigError("override_index", path=path, index=part, length=len(container))
            return [inside(old) if index == int(part) else old for index, old in enumerate(container)]
        if part == "*":
            return [inside(old) for old in container]
        return [_set_inside(old, parts, value, path) for old in container]
    mapping = dict(container) if isinstance(container, Mapping) else {}
    if part == "*":
        return {key: inside(old) for key, old in mapping.items()}
    mapping[part] = inside(mapping.get(part))
    return mapping


def shorten_paths(paths: Sequence[str]) -> dict[str, str]:
    """Path -> its last part, or as many of its last parts as tell it from the others."""
    names = {}
    for path in paths:
        parts = path.split(".")
        tails = [".".join(parts[-count:]) for count in range(1, len(parts) + 1)]
        others = [other for other in paths if other != path]
        names[path] = next((tail for tail in tails if not any(_ends(other, tail) for other in others)), path)
    return names


def _ends(path: str, tail: str) -> bool:
    return path == tail or path.endswith(f".{tail}")
