"""A draft from what the Data page chose."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chain_core.config import SELF_SUPERVISED
from chain_core.data.store import DataSet


def build_draft(
    data_set: DataSet, suggested: Mapping[str, Any], splits: Mapping[str, Any], old: Mapping[str, Any] | None
) -> dict[str, Any]:
    """The config mapping that trains this data set. A draft for the same one keeps its chain and heads' settings."""
    same = old is not None and (old.get("data") or {}).get("train") == data_set.id
    kept: dict[str, Any] = dict(old) if old is not None and same else {"name": data_set.name}
    known = (kept.get("heads") or {}) if same else {}
    longest = (kept.get("input") or {}).get("max_length")
    return {
        **kept,
        "data": {"train": data_set.id, **splits},
        "input": {**suggested.get("input", {}), **({"max_length": longest} if longest else {})},
        "heads": {
            **{name: _keep(head, known.get(name)) for name, head in suggested.get("heads", {}).items()},
            **{name: head for name, head in known.items() if _is_from_elsewhere(head)},
        },
    }


def _is_from_elsewhere(head: Any) -> bool:
    """Whether a head learns from no column of this data set."""
    return isinstance(head, Mapping) and bool(head.get("data") or head.get("kind") in SELF_SUPERVISED)


def _keep(head: Mapping[str, Any], known: Any) -> dict[str, Any]:
    """The settings that the draft's head of this name had, if it predicts the same."""
    alike = isinstance(known, Mapping) and all(known.get(key) == value for key, value in head.items())
    return dict(known) if alike else dict(head)
