"""A run's config, as a file and as the draft of a changed copy."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chain_core.config import load_yaml
from chain_core.errors import ConfigError
from chain_core.paths import fix_path
from chain_core.services.store.records import Run


def read_config(run: Run) -> str:
    """The run's complete config as YAML: with what was inferred, once the run has written it."""
    path = run.path / "config.yaml"
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return run.config_yaml


def build_draft(run: Run) -> dict[str, Any]:
    """The run's config as a new draft, its paths absolute since a draft has no folder of its own."""
    try:
        mapping = load_yaml(read_config(run))
    except ConfigError:  # a file cut short by a crash
        mapping = load_yaml(run.config_yaml)
    return fix_paths(mapping, Path(run.folder))


PATHS = (
    *((*base, key) for base in (("data",), ("also", "*", "data")) for key in ("train", "validation", "test")),
    ("augment", "synonyms"),
    ("augment", "back_translation", "*"),
    ("stages", "*", "data"),
    ("start", "run"),
)
"""Keys that may hold a path; `*`: every entry."""


def fix_paths(mapping: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The mapping with every path that exists below `folder` made absolute."""
    fixed: Any = dict(mapping)
    for path in PATHS:
        fixed = _fix(fixed, path, folder)
    return fixed


def _fix(value: Any, path: tuple[str, ...], folder: Path) -> Any:
    if not path:
        return fix_path(value, folder) if isinstance(value, str) else value
    if isinstance(value, list):
        return [_fix(item, path[1:], folder) for item in value]
    if isinstance(value, Mapping):
        keys = value if path[0] == "*" else [path[0]]
        return {**value, **{key: _fix(value[key], path[1:], folder) for key in keys if key in value}}
    return value
