"""YAML text <-> plain mappings, and single keys laid over them."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from itertools import chain, pairwise
from typing import Any

import yaml

from chain_core.config.root import Config
from chain_core.errors import ConfigError

MAX_YAML_BYTES = 1_000_000


def load_yaml(text: str) -> dict[str, Any]:
    """A mapping from YAML text. Raises ConfigError for broken YAML, a key given twice, or no mapping."""
    if len(text.encode("utf-8", "ignore")) > MAX_YAML_BYTES:
        raise ConfigError("yaml_too_large", limit=MAX_YAML_BYTES)
    try:
        mapping = read_value(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        reason = getattr(error, "problem", None) or "not readable"
        raise ConfigError("yaml_broken", line=mark.line + 1 if mark else 1, reason=reason) from None
    if not isinstance(mapping, dict):
        raise ConfigError("yaml_no_mapping")
    return mapping


def read_value(text: str) -> Any:
    """What a text says as YAML. Raises YAMLError where it is none, ConfigError where its aliases stand for too much."""
    try:
        return yaml.load(text, Loader=_Loader)
    except (yaml.YAMLError, ConfigError):
        raise
    except Exception as error:
        # PyYAML raises whatever Python does of a value that is none of its type, such as 2026-99-99 or !!bool 3.
        raise yaml.MarkedYAMLError(problem=type(error).__name__) from None


def dump_yaml(config: Config) -> str:
    """The complete config as YAML: reading it back gives an equal config."""
    return dump_mapping(config.model_dump(mode="json"))


def dump_mapping(mapping: Mapping[str, Any]) -> str:
    """Any plain mapping as YAML, its keys in their order."""
    return yaml.dump(dict(mapping), Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def apply_overrides(mapping: Mapping[str, Any], overrides: list[str]) -> dict[str, Any]:
    """`["train.epochs=3", "chain.links[0].density=0.5"]` over a mapping; the values are read as YAML."""
    merged = copy.deepcopy(dict(mapping))
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or not key.strip():
            raise ConfigError("override_form", override=override)
        try:
            value = read_value(text)
        except yaml.YAMLError:
            raise ConfigError("override_form", override=override) from None
        _set_path(merged, key.strip(), value)
    return merged


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` laid on `base`, mapping by mapping; anything else replaces."""
    merged = dict(base)
    for key, value in over.items():
        if isinstance(value, Mapping) and isinstance(merged.get(key), Mapping):
            merged[key] = merge(merged[key], value)
        else:
            merged[key] = merge({}, value) if isinstance(value, Mapping) else value
    return merged


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, which lets the last of two equal keys win and a few aliases of aliases stand for gigabytes,
    made to refuse both."""

    def get_single_node(self) -> yaml.Node | None:
        node = super().get_single_node()
        if node is not None and _measure(node, {}) > MAX_YAML_BYTES:
            raise ConfigError("yaml_too_large", limit=MAX_YAML_BYTES)
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, str) and key in seen:
                raise yaml.MarkedYAMLError(problem=f"key {key!r} stands twice", problem_mark=key_node.start_mark)
            if isinstance(key, str):
                seen.add(key)
        return super().construct_mapping(node, deep)


def _measure(node: yaml.Node, known: dict[yaml.Node, int]) -> int:
    """About how many characters a node has with its aliases written out; above the limit no more than that they are."""
    if isinstance(node, yaml.ScalarNode):
        return len(node.value) + 1
    if node not in known:
        known[node] = MAX_YAML_BYTES + 1  # for an alias inside what it stands for, which has no end
        parts = chain.from_iterable(node.value) if isinstance(node, yaml.MappingNode) else node.value
        known[node] = min(1 + sum(_measure(part, known) for part in parts), MAX_YAML_BYTES + 1)
    return known[node]


class _Dumper(yaml.SafeDumper):
    """PyYAML's safe dumper, which writes some characters so that they do not read back, made to escape them."""


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = '"' if any(not character.isprintable() for character in text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)


def _set_path(mapping: dict[str, Any], path: str, value: Any) -> None:
    """Set one value of a mapping, making the mappings on the way that are missing."""
    parts = path.replace("[", ".").replace("]", "").split(".")
    target: Any = mapping
    for here, after in pairwise(parts):
        key: Any = _index(here, target, path) if isinstance(target, list) else here
        inner = target[key] if isinstance(target, list) else target.get(key)
        if after.isdecimal() and not isinstance(inner, dict | list):
            inner = []
        elif not isinstance(inner, dict | list):
            inner = {}
        target[key] = inner
        target = inner
    last: Any = _index(parts[-1], target, path) if isinstance(target, list) else parts[-1]
    target[last] = value


def _index(part: str, items: list[Any], path: str) -> int:
    if not part.isdecimal() or int(part) >= len(items):
        raise ConfigError("override_index", path=path, index=part, length=len(items))
    return int(part)
