"""What a config leaves open, inferred from the columns: its input, its heads, its split column."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain, count
from typing import Any

import pyarrow as pa

from chain_core.config import Config, HeadConfig, merge, resolve_config
from chain_core.data.schema import infer_columns, suggest_config
from chain_core.errors import ConfigError


def complete_mapping(
    mapping: Mapping[str, Any], table: pa.Table, others: Mapping[str, pa.Table] | None = None
) -> dict[str, Any]:
    """A mapping with what it leaves out or null filled from the columns; what it gives stays.

    `others`: entry of `also` -> table.
    """
    completed = _complete_section(mapping, table)
    for name, other in (others or {}).items():
        section = mapping["also"][name]
        if not _has_input(section):
            filled = _complete_section({**section, "heads": {}}, other)
            filled.pop("heads")
            completed["also"] = {**completed["also"], name: filled}
        if mapping.get("heads") is None and (heads := _add_heads(completed.get("heads") or {}, name, other)):
            completed["heads"] = heads
    return completed


def _complete_section(section: Mapping[str, Any], table: pa.Table) -> dict[str, Any]:
    if _has_input(section) and section.get("heads") is not None:
        return dict(section)
    suggestion = suggest_config(infer_columns(table))
    if _has_input(section):
        suggestion.pop("input", None)
    if section.get("heads") is not None:
        suggestion.pop("heads", None)
    return merge(suggestion, {key: _drop_nulls(value) for key, value in section.items() if value is not None})


def complete_config(
    config: Config, table: pa.Table, others: Mapping[str, pa.Table] | None = None
) -> tuple[Config, list[dict[str, Any]]]:
    """A config completed in the same way, and notes that say what was inferred. `others`: entry of `also` -> table.

    Raises ConfigError where no column looks like something to predict.
    """
    mapping = config.model_dump(mode="json")
    completed = complete_mapping(mapping, table, others)
    pairs = [(mapping, completed), *((mapping["also"][name], completed["also"][name]) for name in others or {})]
    notes = [_describe_input(after["input"]) for before, after in pairs if not _has_input(before) and _has_input(after)]
    if not completed.get("heads"):
        raise ConfigError("no_label_column", path="heads")
    if config.heads is None:
        listed = ", ".join(f"{name} ({head['kind']})" for name, head in completed["heads"].items())
        notes.append({"code": "heads_inferred", "params": {"heads": listed}})
    return add_language_heads(resolve_config(completed)), notes


def add_language_heads(config: Config) -> Config:
    """The config with a head at the last depth for each self-supervised objective of its stages that none serves."""
    heads = dict(config.heads or {})
    for kind in dict.fromkeys(stage.objective for stage in config.get_stages()):
        if kind != "tasks" and not any(head.kind == kind for head in heads.values()):
            heads[_find_free(kind, heads)] = HeadConfig(kind=kind)
    return config if heads == (config.heads or {}) else config.model_copy(update={"heads": heads})


def _find_free(name: str, taken: Mapping[str, Any]) -> str:
    """The name, or where it is taken `name-2`, `name-3`, …"""
    others = (f"{name}-{number}" for number in count(2))
    return next(free for free in chain((name,), others) if free not in taken)


def _add_heads(heads: Mapping[str, Any], data: str, table: pa.Table) -> dict[str, Any]:
    """Further heads, inferred from the columns of an entry of `also`, whose name goes before a name that is taken."""
    found = suggest_config(infer_columns(table)).get("heads") or {}
    return {
        **heads,
        **{name if name not in heads else f"{data}-{name}": {**head, "data": data} for name, head in found.items()},
    }


def _describe_input(columns: Mapping[str, Any]) -> dict[str, Any]:
    roles = {role: name for role, name in columns.items() if role in ("text", "pair", "tokens")}
    chosen = ", ".join(f"{role}: {name}" for role, name in roles.items() if name)
    return {"code": "input_inferred", "params": {"columns": chosen}}


def _has_input(mapping: Mapping[str, Any]) -> bool:
    given = mapping.get("input")
    return isinstance(given, Mapping) and bool(given.get("text") or given.get("tokens"))


def _drop_nulls(value: Any) -> Any:
    """A section without its null keys, which mean the same as none."""
    return {key: inner for key, inner in value.items() if inner is not None} if isinstance(value, Mapping) else value
