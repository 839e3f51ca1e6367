"""A run's checkpoints: DIR/checkpoints/step-00000123/, taken now and then, the newest whole one to go on from."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from chain_core.config import Config, TrainConfig
from chain_core.modeling.backbones.catalogue import BackboneFacts, compute_weights_key
from chain_core.services.runs.checkpoint_names import FOLDER, list_checkpoints, prune_checkpoints
from chain_core.storage.folders import sweep_draft_folders
from chain_core.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from chain_core.training.feed import Feed, Labels
from chain_core.training.start import Start

KEPT = 2
"""The newest one, and the one before in case a disk damages it."""
_BESIDE = ("checkpoint_minutes", "checkpoint_steps", "accumulate", "device", "shard", "trackers")
"""Keys of `train` that do not change what is learned."""


class CheckpointFolder:
    """The checkpoints of one run, and when the next is due."""

    def __init__(self, out: Path, settings: TrainConfig, describe: Callable[[], Mapping[str, Any]], step: int) -> None:
        """`describe`: what else each checkpoint is to know; `step`: that of the one that the run goes on from, or 0."""
        self._out, self._settings, self._describe = out, settings, describe
        self._at, self._step = time.monotonic(), step

    def is_due(self, step: int) -> bool:
        minutes, steps = self._settings.checkpoint_minutes, self._settings.checkpoint_steps
        if minutes is not None and time.monotonic() - self._at >= minutes * 60:
            return True
        return steps is not None and step // steps > self._step // steps

    def keep(self, checkpoint: Checkpoint) -> None:
        """Write it and forget those before the last one. Raises OSError where the disk does not take it."""
        self._at, self._step = time.monotonic(), checkpoint.step
        state = {**checkpoint.state, **self._describe()}
        save_checkpoint(self._out / FOLDER / f"step-{checkpoint.step:08}", replace(checkpoint, state=state))
        prune_checkpoints(self._out, KEPT)


def find_checkpoint(out: Path) -> Checkpoint | None:
    """The newest that can be read; those that cannot go. Only where no process writes any."""
    sweep_draft_folders(out / FOLDER)
    for folder in list_checkpoints(out):
        checkpoint = load_checkpoint(folder)
        if checkpoint is not None:
            return checkpoint
        shutil.rmtree(folder, ignore_errors=True)
    return None


def describe_config(config: Config) -> dict[str, Any]:
    """What of a complete config decides what is learned."""
    return config.model_dump(mode="json", exclude={"name": True, "train": set(_BESIDE)})


def compute_run_key(
    config: Config, feed: Feed, feeds: Mapping[int, Feed], facts: BackboneFacts, start: Start | None
) -> str:
    """A hash of all that decides what is learned: a checkpoint fits only a run of the same."""
    digest = hashlib.sha256()
    digest.update(json.dumps(describe_config(config), sort_keys=True).encode())
    digest.update(compute_weights_key(facts.folder).encode())
    own = {number: part for number, part in feeds.items() if part.labels is not feed.labels}
    for number, part in sorted({0: feed, **own}.items()):
        digest.update(f"{number} {part.encoded.compute_key()} {part.pooled}".encode())
        for name, values in sorted(part.labels.items()):
            _add(digest, name, values if isinstance(values, tuple) else (values,))
        _add(digest, "splits", [part.splits[name] for name in sorted(part.splits)])
    for name, value in sorted(start.weights.items() if start is not None else ()):
        _add(digest, name, [value.cpu().numpy()])
    return digest.hexdigest()


def _add(digest: Any, name: str, arrays: Sequence[Labels]) -> None:
    for array in arrays:
        values = np.ascontiguousarray(array)
        digest.update(f"{name} {values.dtype} {values.shape}".encode())
        digest.update(values.tobytes())
