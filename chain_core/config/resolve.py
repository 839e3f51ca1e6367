"""A user's mapping -> a complete config, or everything that is wrong with it.

The preset's values come first, the user's go over them, the sections' defaults fill the rest. What needs the data or
the backbone to judge is found by `services.checks`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from chain_core.config.explain import explain_finding
from chain_core.config.sections import Config
from chain_core.config.text import merge
from chain_core.errors import ConfigError
from chain_core.presets import PRESETS


def resolve_config(mapping: Mapping[str, Any]) -> Config:
    """A complete config from a user's mapping. Raises the first ConfigError of `find_problems`."""
    problems, config = _validate(mapping)
    if config is None:
        raise problems[0]
    return config


def find_problems(mapping: Mapping[str, Any]) -> list[ConfigError]:
    """Everything that is wrong with a mapping by itself, in the order of its keys."""
    return _validate(mapping)[0]


def _validate(mapping: Mapping[str, Any]) -> tuple[list[ConfigError], Config | None]:
    preset = mapping.get("preset", "fast")
    base = PRESETS.get(preset, {}) if isinstance(preset, str) else {}
    merged = merge(base, {key: value for key, value in mapping.items() if value is not None or key == "heads"})
    try:
        config = Config.model_validate(merged)
    except ValidationError as error:
        found = [explain_finding(detail) for detail in error.errors(include_url=False)]
        # A union reports each of its members: the last, widest one speaks for the key. A list that lost its bad
        # entries reports that it is too short as well.
        by_path = {problem.path: problem for problem in found}
        told = [problem for problem in by_path.values() if not _is_echo(problem, by_path)]
        return told, None
    problems = list(_check_chain(config)) + list(_check_heads(config))
    return problems, (None if problems else config)


def _is_echo(problem: ConfigError, by_path: Mapping[str, ConfigError]) -> bool:
    return problem.code == "too_short" and any(path.startswith(f"{problem.path}[") for path in by_path)


def _check_chain(config: Config) -> Iterator[ConfigError]:
    chain = config.chain
    if isinstance(chain.links, tuple) and len(chain.links) != chain.depth:
        yield ConfigError("links_length", path="chain.links", given=len(chain.links), depth=chain.depth)
    if chain.taps is not None and len(chain.taps) != chain.depth:
        yield ConfigError("taps_length", path="chain.taps", given=len(chain.taps), depth=chain.depth)
    columns = config.input
    if columns.tokens and (columns.text or columns.pair):
        yield ConfigError("input_both", path="input")
    if columns.pair and not columns.text:
        yield ConfigError("input_pair_alone", path="input.pair")
    for key in ("validation", "test"):
        fraction = getattr(config.data, key)
        if isinstance(fraction, float) and not 0 < fraction < 1:
            yield ConfigError("fraction", path=f"data.{key}", given=fraction)
    fractions = [value for value in (config.data.validation, config.data.test) if isinstance(value, float)]
    if len(fractions) == 2 and sum(fractions) >= 1:
        yield ConfigError("fractions_sum", path="data.test", given=sum(fractions))


def _check_heads(config: Config) -> Iterator[ConfigError]:
    if config.heads is None:
        return
    if not config.heads:
        yield ConfigError("no_heads", path="heads")
    for name, head in config.heads.items():
        path = f"heads.{name}"
        for index, depth in enumerate(head.depths):
            if depth != "last" and depth > config.chain.depth:
                yield ConfigError("depth_beyond", path=f"{path}.depths[{index}]", given=depth, depth=config.chain.depth)
        positions = [config.chain.depth if depth == "last" else depth for depth in head.depths]
        if len(set(positions)) != len(positions):
            yield ConfigError("depths_twice", path=f"{path}.depths")
        if head.depth_weights is not None and len(head.depth_weights) != len(head.depths):
            yield ConfigError("depth_weights_length", path=f"{path}.depth_weights")
        if name == "joint":
            yield ConfigError("head_name_joint", path=path)
        if head.kind == "tagging" and not config.input.tokens and config.input.text:
            yield ConfigError("tagging_needs_tokens", path=f"{path}.kind")
    if config.heads and all(head.weight == 0 for head in config.heads.values()):
        yield ConfigError("weights_all_zero", path="heads")
    metric_head = config.train.metric.partition("/")[0]
    if config.train.metric != "mean" and metric_head not in {*config.heads, "joint"}:
        known = ", ".join(["mean", *config.heads])
        yield ConfigError("metric_unknown", path="train.metric", given=config.train.metric, known=known)
