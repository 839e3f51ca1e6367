"""What a config leaves open, inferred from the columns: its input, its heads, its split column."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from chain_core.config import Config, merge, resolve_config
from chain_core.data.schema import infer_columns, suggest_config
from chain_core.errors import ConfigError


def complete_mapping(mapping: Mapping[str, Any], table: pa.Table) -> dict[str, Any]:
    """A mapping with what it leaves out or null filled from the columns; what it gives stays."""
    if _has_input(mapping) and mapping.get("heads") is not None:
        return dict(mapping)
    suggestion = suggest_config(infer_columns(table))
    if _has_input(mapping):
        suggestion.pop("input", None)
    if mapping.get("heads") is not None:
        suggestion.pop("heads", None)
    return merge(suggestion, {key: _drop_nulls(value) for key, value in mapping.items() if value is not None})


def complete_config(config: Config, table: pa.Table) -> tuple[Config, list[dict[str, Any]]]:
    """A config completed in the same way, and notes that say what was inferred.

    Raises ConfigError where no column looks like something to predict.
    """
    mapping = config.model_dump(mode="json")
    completed = complete_mapping(mapping, table)
    if not completed.get("heads"):
        raise ConfigError("no_label_column", path="heads")
    notes = []
    if not _has_input(mapping) and _has_input(completed):
        roles = {role: name for role, name in completed["input"].items() if role in ("text", "pair", "tokens")}
        chosen = ", ".join(f"{role}: {name}" for role, name in roles.items() if name)
        notes.append({"code": "input_inferred", "params": {"columns": chosen}})
    if config.heads is None:
        listed = ", ".join(f"{name} ({head['kind']})" for name, head in completed["heads"].items())
        notes.append({"code": "heads_inferred", "params": {"heads": listed}})
    return resolve_config(completed), notes


def _has_input(mapping: Mapping[str, Any]) -> bool:
    given = mapping.get("input")
    return isinstance(given, Mapping) and bool(given.get("text") or given.get("tokens"))


def _drop_nulls(value: Any) -> Any:
    """A section without its null keys, which mean the same as none."""
    return {key: inner for key, inner in value.items() if inner is not None} if isinstance(value, Mapping) else value
