"""A user's mapping -> a complete config, or everything that is wrong with it.

The preset's values come first, the user's go over them, the sections' defaults fill the rest. What needs the data or
the backbone to judge is found by `services.rows.problems`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from chain_core.config.checks import CHECKS
from chain_core.config.explain import explain_finding
from chain_core.config.root import Config
from chain_core.config.text import merge
from chain_core.errors import ConfigError
from chain_core.presets import PRESETS


def resolve_config(mapping: Mapping[str, Any]) -> Config:
    """A complete config from a user's mapping. Raises the first ConfigError of `find_problems`."""
    problems, config = _validate(mapping)
    if config is None:
        raise problems[0]
    return config


def restore_config(mapping: Mapping[str, Any]) -> Config:
    """The config that a run was made with, written down complete: it was judged then, and no rule made since locks the
    run away. A key that is newer is at its default, whatever presets say of it now.

    Raises ConfigError where a key holds what it cannot.
    """
    config = _fill(mapping, {})
    if isinstance(config, list):
        raise config[0]
    return config


def find_problems(mapping: Mapping[str, Any]) -> list[ConfigError]:
    """Everything that is wrong with a mapping by itself, in the order of its keys."""
    return _validate(mapping)[0]


def _validate(mapping: Mapping[str, Any]) -> tuple[list[ConfigError], Config | None]:
    config = _fill(mapping, get_preset(mapping))
    if isinstance(config, list):
        return config, None
    problems = [problem for check in CHECKS for problem in check(config)]
    return problems, (None if problems else config)


def get_preset(mapping: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the preset says that a mapping names; nothing where there is no such preset."""
    preset = mapping.get("preset", "fast")
    return PRESETS.get(preset, {}) if isinstance(preset, str) else {}


def _fill(mapping: Mapping[str, Any], base: Mapping[str, Any]) -> Config | list[ConfigError]:
    """The mapping over `base` over the defaults, or each key that holds what it cannot."""
    merged = merge(base, {key: value for key, value in mapping.items() if value is not None or key == "heads"})
    try:
        return Config.model_validate(merged)
    except ValidationError as error:
        found = [explain_finding(detail) for detail in error.errors(include_url=False)]
        # A union reports each of its members: the last, widest one speaks for the key. A list that lost its bad
        # entries reports that it is too short as well.
        by_path = {problem.path: problem for problem in found}
        return [problem for problem in by_path.values() if not _is_echo(problem, by_path)]


def _is_echo(problem: ConfigError, by_path: Mapping[str, ConfigError]) -> bool:
    return problem.code == "too_short" and any(path.startswith(f"{problem.path}[") for path in by_path)
