"""What a run tells and has told: every event goes to its file and to whoever listens, and a resumed run goes on after
the events that its checkpoint knows of."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from chain_core.config import TrainConfig
from chain_core.data.cells import build_note
from chain_core.services.runs.checkpoint_names import prune_checkpoints
from chain_core.services.runs.checkpoints import CheckpointFolder, find_checkpoint
from chain_core.services.runs.event_log import EventLog
from chain_core.training.assemble import Emit
from chain_core.training.checkpoint import Checkpoint

_NOTHING: dict[str, Any] = {"seconds": 0.0, "events": 0, "step": 0}


class Journal:
    """One run's events, numbered from 1, and the checkpoint that it goes on from.

    Until `begin`, whoever listens is told everything, and the run's folder keeps what it held.
    """

    def __init__(self, out: Path, emit: Emit, notes: Sequence[Mapping[str, Any]] = (), *, resume: bool) -> None:
        """`notes`: what there is to say of earlier attempts."""
        self._out, self._emit, self._notes = out, emit, notes
        self.checkpoint: Checkpoint | None = find_checkpoint(out) if resume else None
        state = self.checkpoint.state if self.checkpoint is not None else _NOTHING
        self._started = time.perf_counter() - state["seconds"]
        self._log = EventLog(out, keep=state["events"])
        self._known = {_name_note(event) for event in self._log.kept if event["kind"] == "note"}
        self._key = ""
        if resume:
            self._tell_resumed(state["step"])

    def begin(self) -> None:
        """From here on the folder is this run's: what an earlier one left there and this one cannot go on from goes."""
        if self.checkpoint is None:
            prune_checkpoints(self._out, 0)
        self._log.begin()

    @property
    def seconds(self) -> float:
        """How long the run has taken so far, pauses taken out."""
        return time.perf_counter() - self._started

    def tell(self, event: dict[str, Any]) -> None:
        """Pass an event on; a note only once, however often the run was taken up."""
        if event["kind"] == "note":
            if _name_note(event) in self._known:
                return
            self._known.add(_name_note(event))
        event = {**event, "seconds": round(self.seconds, 3)}
        self._log.append(event)
        self._emit(event)

    def fit(self, key: str) -> None:
        """Say what the run is now: a checkpoint of something else goes, and everything told so far."""
        self._key = key
        if self.checkpoint is not None and self.checkpoint.state["key"] != key:
            note = build_note("checkpoint_unfit", step=self.checkpoint.step)
            self.checkpoint = None
            prune_checkpoints(self._out, 0)
            self._log.clear()
            self._known, self._started = set(), time.perf_counter()
            self._tell_resumed(0)
            self.tell({"kind": "note", **note})

    def build_keeper(self, settings: TrainConfig) -> CheckpointFolder:
        """What takes the run's checkpoints from here on."""
        step = self.checkpoint.step if self.checkpoint is not None else 0
        return CheckpointFolder(self._out, settings, self._describe, step)

    def _describe(self) -> dict[str, Any]:
        """What a checkpoint must know of the run besides its training; all that was told is on the disk by then."""
        self._log.sync()
        return {"key": self._key, "events": self._log.count, "seconds": self.seconds}

    def close(self) -> None:
        self._log.close()

    def _tell_resumed(self, step: int) -> None:
        self.tell({"kind": "resumed", "step": step, "events": self._log.count})
        for note in self._notes:
            self.tell({"kind": "note", **note})


def _name_note(event: dict[str, Any]) -> str:
    return json.dumps([event["code"], event["params"]], sort_keys=True, default=str)


class Follower:
    """The journal of a process that follows another: that one writes all down."""

    checkpoint: Checkpoint | None = None
    seconds = 0.0

    def begin(self) -> None:
        pass

    def tell(self, event: dict[str, Any]) -> None:
        pass

    def fit(self, key: str) -> None:
        pass

    def build_keeper(self, settings: TrainConfig) -> Follower:
        return self

    def is_due(self, step: int) -> bool:
        return False

    def keep(self, checkpoint: Checkpoint) -> None:
        pass

    def close(self) -> None:
        pass
