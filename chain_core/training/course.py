"""What the stages of one run share, and where it has come to; with a stage's lesson, that is all a checkpoint holds."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch

from chain_core.config import SELF_SUPERVISED
from chain_core.data.cells import build_note
from chain_core.data.schema import Task
from chain_core.modeling.backbones.sharding import collect_whole, share_out
from chain_core.modeling.model import ChainModel
from chain_core.modeling.team import SOLO, Team
from chain_core.training.anchors import Anchor
from chain_core.training.checkpoint import (
    Checkpoint,
    Keeper,
    Tensors,
    name_randoms,
    pick_random,
    read_outcomes,
    read_random,
    read_torch_random,
    read_weights,
    restore_outcomes,
    restore_random,
    restore_torch_random,
)
from chain_core.training.control import ReadControl
from chain_core.training.outcome import StageOutcome
from chain_core.training.scaling import LossScale
from chain_core.training.stages import Parts, Stage

_COUNTS = ("step", "epoch", "tuned")


@dataclass
class Course:
    """One run's way through its stages."""

    model: ChainModel
    tasks: Sequence[Task]
    device: torch.device
    dtype: torch.dtype
    read_control: ReadControl
    random: np.random.Generator
    parts: Parts
    to_come: list[Stage]
    """This stage and those after it."""
    team: Team = SOLO
    """The processes that train together; each has a course of its own, and all go the same way."""
    keeper: Keeper | None = None
    anchors: Sequence[Anchor] = ()
    accumulate: int = 1
    """Parts that a batch is cut into, in each process."""
    step: int = 0
    epoch: int = 0
    """Begun so far."""
    tuned: int = 0
    """Steps done that trained the backbone."""
    outcomes: list[StageOutcome] = field(default_factory=list)
    """Of the stages that are done."""
    scale: LossScale = field(init=False)
    started: float = field(default_factory=time.perf_counter)
    """On the clock of `perf_counter`, pauses taken out."""

    def __post_init__(self) -> None:
        self.scale = LossScale(self.dtype)

    @property
    def language(self) -> set[str]:
        """The heads that learn the texts themselves."""
        return {task.name for task in self.tasks if task.kind in SELF_SUPERVISED}

    @property
    def steps(self) -> int:
        """Of the whole run, as far as can be told."""
        return self.step + sum(stage.steps for stage in self.to_come)

    @property
    def tuned_steps(self) -> int:
        """As `steps`, of those that train the backbone."""
        return self.tuned + sum(stage.steps for stage in self.to_come if stage.tunes)

    @property
    def waits(self) -> bool:
        """Whether this stage is the last in which AdaLoRA's ranks can come to be final, and they are not yet."""
        tunes = [stage.tunes for stage in self.to_come]
        return not self.model.settled and tunes[0] and not any(tunes[1:])

    @property
    def epochs(self) -> int:
        return self.epoch + sum(stage.settings.epochs for stage in self.to_come)

    @property
    def stopped(self) -> bool:
        """Whether the last stage was ended by the user."""
        return bool(self.outcomes) and self.outcomes[-1].reason == "stopped"

    def is_due(self) -> bool:
        """Whether a checkpoint is."""
        return self.keeper is not None and self.team.decide(self.keeper.is_due(self.step))

    def keep(
        self,
        lesson: Mapping[str, Any] | None = None,
        tensors: Mapping[str, Tensors] | None = None,
        *,
        needed: bool = False,
    ) -> dict[str, Any]:
        """Have a checkpoint taken, in the midst of a stage with its `lesson`; the event that tells of it.

        Where the disk does not take it the run goes on without, unless it is `needed`: then raises OSError.
        """
        assert self.keeper is not None
        state = {
            **{name: getattr(self, name) for name in _COUNTS},
            "accumulate": self.accumulate,
            "training_seconds": time.perf_counter() - self.started,
            "outcomes": read_outcomes(self.outcomes),
            "random": read_random(self.random),
            "scale": self.scale.get_state(),
            "lesson": lesson,
        }
        ranks: tuple[dict[str, Any] | None, Tensors] = (None, {})
        if self.model.upper is not None and self.model.upper.ranks is not None:
            ranks = self.model.upper.ranks.get_state()
        state["ranks"] = ranks[0]
        weights = collect_whole(read_weights(self.model), self.team)
        random = name_randoms(self.team.collect(read_torch_random(self.device)))
        checkpoint = Checkpoint(state, {**(tensors or {}), "weights": weights, "random": random, "ranks": ranks[1]})
        try:
            self.team.lead(partial(self.keeper.keep, checkpoint))
        except OSError as error:
            if needed:
                raise
            return {"kind": "note", **build_note("checkpoint_failed", reason=error.strerror or str(error))}
        return {"kind": "checkpoint", "step": self.step}

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go back to where a checkpoint was taken; the stage that was going on is its lesson's to restore."""
        state = checkpoint.state
        for name in _COUNTS:
            setattr(self, name, state[name])
        self.accumulate = max(self.accumulate, state["accumulate"])  # once memory was short, it stays so
        self.started = time.perf_counter() - state["training_seconds"]
        self.outcomes = restore_outcomes(state["outcomes"])
        del self.to_come[: len(self.outcomes)]
        restore_random(self.random, state["random"])
        self.scale.set_state(state.get("scale"))
        weights = share_out(checkpoint.tensors["weights"], self.model.state_dict())
        self.model.load_state_dict(weights, strict=False)
        if state["ranks"] is not None:
            upper = self.model.upper
            assert upper is not None
            assert upper.ranks is not None
            upper.ranks.set_state(upper, state["ranks"], checkpoint.tensors.get("ranks", {}))
        own = pick_random(checkpoint.tensors["random"], self.team.rank)
        if own:
            restore_torch_random(own, self.device)
        else:  # one of more processes than there were
            torch.manual_seed(torch.initial_seed() + self.step)
