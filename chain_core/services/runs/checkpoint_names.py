"""The folders of a run's checkpoints by their names alone, without torch: DIR/checkpoints/step-00000123/."""

from __future__ import annotations

import shutil
from pathlib import Path

FOLDER = "checkpoints"


def find_step(out: Path) -> int | None:
    """The step of the newest checkpoint, by its name; None where there is none."""
    return next((_number(folder)[0] for folder in list_checkpoints(out)), None)


def list_checkpoints(out: Path) -> list[Path]:
    """The newest first."""
    return sorted((out / FOLDER).glob("step-*"), key=_number, reverse=True)


def prune_checkpoints(out: Path, kept: int) -> None:
    """Remove all but the newest."""
    for folder in list_checkpoints(out)[kept:]:
        shutil.rmtree(folder, ignore_errors=True)
    if not kept:
        shutil.rmtree(out / FOLDER, ignore_errors=True)


def _number(folder: Path) -> tuple[int, int]:
    """(step, how many were taken at it) from `step-00000123` or `step-00000123-2`."""
    _, step, *again = folder.name.split("-")
    return int(step), int(again[0]) if again else 1
