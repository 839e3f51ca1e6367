"""What the runs are: tiny chains on a tiny backbone, and how each ends when nobody touches it."""

from __future__ import annotations

from pathlib import Path

from chain_core.config import Config, resolve_config
from tests.tiny import build_commands, save_tiny_backbone, write_rows

ROWS = 40
_HEADS = {"intent": {"kind": "classification", "column": "intent"}, "slots": {"kind": "tagging", "column": "slots"}}
_TRAIN = {"epochs": 6, "batch_size": 8, "checkpoint_steps": 3}
KINDS: dict[str, dict] = {
    "frozen": {"chain": {"depth": 2, "width": 16}},
    "lora": {"backbone": {"tuning": "lora", "layers": 2, "rank": 2}, "chain": {"depth": 1, "width": 16}},
    "stages": {
        "chain": {"depth": 2, "width": 16},
        "stages": [{"epochs": 3, "depth": 1}, {"epochs": 3}],
        "train": {**_TRAIN, "patience": 5},
    },
}


def prepare_material(folder: Path) -> Path:
    """A folder with the rows and the backbone."""
    folder.mkdir(parents=True, exist_ok=True)
    write_rows(folder / "rows.jsonl", build_commands(ROWS))
    save_tiny_backbone(folder / "bert")
    return folder


SHORT = {"chain": {"depth": 1, "width": 16}, "train": {"epochs": 1, "batch_size": 16}}
"""One of many."""


def build_config(kind: str, folder: Path) -> Config:
    """A run of that kind, or a `short` one, on what `prepare_material` made."""
    own = KINDS.get(kind, SHORT)
    return resolve_config(
        {
            "name": kind,
            "data": {"train": str(folder / "rows.jsonl"), "validation": 0.3},
            "input": {"tokens": "tokens"},
            "heads": _HEADS,
            "train": _TRAIN,
            **own,
            "backbone": {"name": str(folder / "bert"), **own.get("backbone", {})},
        }
    )
