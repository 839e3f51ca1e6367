"""The phases of a run: what each of them reads, which heads it judges, and which parts of the model it trains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from chain_core.config import Config, StageConfig, TrainConfig
from chain_core.errors import ConfigError, DataError
from chain_core.modeling.model import ChainModel
from chain_core.training.feed import Feed, Labels, choose_labelled


@dataclass(frozen=True)
class Stage:
    """One phase, ready to run."""

    number: int
    """From 1."""
    config: StageConfig
    """With nothing left open."""
    run: Config
    """The run's config with this stage's epochs and learning rates."""
    heads: frozenset[str]
    """The heads that take part."""
    feed: Feed
    rows: np.ndarray
    """Row numbers of `feed` that train."""

    @property
    def labels(self) -> dict[str, Labels]:
        """Those of its heads that are known before a batch is built."""
        return {name: self.feed.labels[name] for name in sorted(self.heads) if name in self.feed.labels}

    @property
    def settings(self) -> TrainConfig:
        return self.run.train

    @property
    def steps(self) -> int:
        """Updates, if no epoch and no row is left out."""
        return self.settings.epochs * -(-len(self.rows) // self.batch_size)

    @property
    def batch_size(self) -> int:
        """Rows of one step."""
        return self.settings.get_batch_size(len(self.rows))

    @property
    def prune(self) -> float:
        """The probability with which an easy row is left out."""
        return self.run.get_prune(self.config.objective)

    @property
    def tunes(self) -> bool:
        """Whether it trains the backbone."""
        return "backbone" in self.config.trains

    @property
    def supervised(self) -> bool:
        """Whether it learns the tasks, not the texts themselves."""
        return self.config.objective == "tasks"

    @property
    def metric(self) -> str:
        """What its epochs are judged by: `train.metric`, where heads that take part have it."""
        head = self.settings.metric.partition("/")[0]
        own = head in self.heads or (head == "joint" and self.config.heads is None)
        return self.settings.metric if self.supervised and own else "mean"

    def describe(self, step: int, epoch: int) -> dict[str, Any]:
        """The event of its beginning, after that many steps and epochs of the run."""
        return {
            "kind": "stage",
            "stage": self.number,
            "name": self.config.name,
            "objective": self.config.objective,
            "epochs": self.settings.epochs,
            "depth": self.config.depth,
            "step": step,
            "epoch": epoch,
        }


def plan_stages(config: Config, feed: Feed, feeds: Mapping[int, Feed]) -> tuple[Stage, ...]:
    """The stages of a run. `feeds`: number of a stage -> its own rows; the others read `feed`.

    Raises DataError where a stage has no row to learn from.
    """
    stages = []
    for number, stage in enumerate(config.get_stages(), start=1):
        own = feeds.get(number, feed)
        heads = config.get_learners(stage)
        labels = {name: values for name, values in own.labels.items() if name in heads}
        rows = choose_labelled(labels, own.splits["train"]) if stage.objective == "tasks" else own.splits["train"]
        if not len(rows):
            raise DataError("nothing_labelled")
        settings = config.train.model_copy(
            update={
                "epochs": stage.epochs,
                "learning_rate": stage.learning_rate,
                "backbone_learning_rate": stage.backbone_learning_rate,
            }
        )
        run = config.model_copy(update={"train": settings})
        stages.append(Stage(number, stage, run, heads, own, rows))
    return tuple(stages)


class Parts:
    """Which parameters a config lets train, so that a stage can hold some of them still and the next let them go."""

    def __init__(self, model: ChainModel) -> None:
        self._model = model
        self._trainable = {name: parameter.requires_grad for name, parameter in model.named_parameters()}

    def check(self, stages: tuple[Stage, ...]) -> None:
        """Raises ConfigError where a stage would train nothing."""
        for stage in stages:
            if not any(free and find_part(name) in stage.config.trains for name, free in self._trainable.items()):
                path = f"stages[{stage.number - 1}].trains"
                raise ConfigError("stage_without_parameters", path=path, parts=", ".join(stage.config.trains))

    def enter(self, stage: Stage) -> None:
        """Set the model up for a stage: its depth, its heads, the parts that it trains."""
        chain = self._model.chain
        assert stage.config.depth is not None
        chain.active_depth = stage.config.depth
        chain.active_heads = stage.heads
        for name, parameter in self._model.named_parameters():
            parameter.requires_grad_(self._trainable[name] and find_part(name) in stage.config.trains)
            if not parameter.requires_grad:
                parameter.grad = None

    def set_mode(self, stage: Stage) -> None:
        """Training mode, without dropout in the parts that this stage holds still."""
        model, trains = self._model, stage.config.trains
        model.train()
        model.chain.train("links" in trains)
        model.chain.heads.train("heads" in trains)
        if model.upper is not None:
            model.upper.train("backbone" in trains)

    def leave(self) -> None:
        """Everything trainable again that the config lets train; the heads with a column answer."""
        self._model.chain.active_heads = self._model.chain.answering_heads
        for name, parameter in self._model.named_parameters():
            parameter.requires_grad_(self._trainable[name])


def find_part(name: str) -> str:
    """The part that a parameter of the model belongs to, by its name: backbone, heads or links."""
    if name.startswith("upper."):
        return "backbone"
    return "heads" if name.startswith(("chain.heads.", "log_variances.")) else "links"
