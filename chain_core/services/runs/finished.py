"""Whether a folder holds a run that has finished: there is nothing to go on with."""

from __future__ import annotations

from pathlib import Path

from chain_core.config import Config, load_yaml, resolve_config
from chain_core.errors import ChainError
from chain_core.services.rows.prepare import settle_config
from chain_core.services.runs.checkpoints import describe_config
from chain_core.services.runs.event_log import read_last
from chain_core.services.store.records import REPORT


def is_finished(out: Path) -> bool:
    """Whether the run's last word is that it was trained to its end; one that was stopped can go on."""
    last = read_last(out) or {}
    return last.get("kind") == "done" and last.get("reason") != "stopped" and (out / REPORT).is_file()


def is_same_run(config: Config, out: Path, folder: Path) -> bool:
    """Whether the run in the folder is one of this config, whose relative paths start from `folder`, once what it
    leaves open is inferred. Raises ChainError where its rows or backbone are not there any more."""
    try:
        before = resolve_config(load_yaml((out / "config.yaml").read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, ChainError):
        return False
    return describe_config(settle_config(config, folder).config) == describe_config(before)
