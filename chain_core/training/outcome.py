"""How training ends: the best weights of each stage, and what is told of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch

from chain_core.modeling.model import ChainModel


@dataclass(frozen=True)
class StageOutcome:
    """How one stage ended."""

    name: str
    objective: str
    reason: str
    """finished, stopped or early."""
    epochs: int
    best_epoch: int
    """Of the run, whose epochs count on from stage to stage; 0: stopped before its first epoch ended."""
    seconds: float
    validation: Mapping[str, Mapping[str, float]]
    """`head@depth` -> the figures of the best weights."""


@dataclass(frozen=True)
class Outcome:
    """How training ended; the model holds the best weights of the last stage."""

    stages: tuple[StageOutcome, ...]
    seconds: float

    @property
    def reason(self) -> str:
        """finished, stopped or early."""
        return self.stages[-1].reason

    @property
    def best_epoch(self) -> int:
        """The epoch whose weights the model holds."""
        return max(stage.best_epoch for stage in self.stages)


@dataclass
class Best:
    """The best weights of a stage so far, kept in memory; `keep`: those that it begins with are better than none."""

    model: ChainModel
    keep: bool = False
    score: float | None = None
    epoch: int = 0
    validation: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    risen: int = 0
    """The epoch in which the score last rose."""
    settled: bool = False
    """Whether they have the form that the config asks for."""
    weights: dict[str, torch.Tensor] = field(default_factory=dict)
    """Empty: none kept yet."""

    def __post_init__(self) -> None:
        if self.keep:
            self._copy()

    @property
    def kept(self) -> bool:
        return bool(self.weights)

    def offer(self, score: float | None, epoch: int, validation: Mapping[str, Mapping[str, float]]) -> bool:
        """Keep these weights unless they score lower; of equals, as few validation rows make them, the latest have
        learned the most.

        Weights that have the form the config asks for come before all that do not have it yet.
        """
        settles = self.model.settled and not self.settled
        before = self.score if self.epoch and not settles else None
        if score is None or before is None or score > before:
            self.risen = epoch
        elif score < before:
            return False
        self.score, self.epoch, self.validation, self.settled = score, epoch, validation, self.model.settled
        self._copy()
        return True

    def _copy(self) -> None:
        self.weights = {name: value.detach().clone() for name, value in self.model.get_saved().items()}

    def restore(self, model: ChainModel) -> None:
        model.load_state_dict(self.weights, strict=False)
