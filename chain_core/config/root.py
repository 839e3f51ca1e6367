"""A whole run, and what follows from its keys."""

from __future__ import annotations

from itertools import takewhile
from typing import Literal

from pydantic import Field

from chain_core.config.fields import Name, Section
from chain_core.config.sections import (
    POSITION_KINDS,
    SELF_SUPERVISED,
    AugmentConfig,
    BackboneConfig,
    ChainConfig,
    DataConfig,
    HeadConfig,
    InputConfig,
    LinkConfig,
    SetConfig,
    StageConfig,
    StartConfig,
    TrainConfig,
)

MOST_CHAINED = 512
"""Tags up to which a CRF comes by itself: its parameters grow with their square."""


class Config(Section):
    """A whole run, as the YAML file gives it."""

    name: str = Field(default="chain", min_length=1, max_length=120)
    preset: Literal["fast", "balanced", "thorough"] = "fast"
    data: DataConfig
    input: InputConfig = InputConfig()
    backbone: BackboneConfig = BackboneConfig()
    chain: ChainConfig = ChainConfig()
    also: dict[Name, SetConfig] = Field(default={})
    """Name -> a further data set, whose heads name it under `data`."""
    heads: dict[Name, HeadConfig] | None = None
    """Name -> head; null: inferred from the columns."""
    augment: AugmentConfig = AugmentConfig()
    train: TrainConfig = TrainConfig()
    stages: tuple[StageConfig, ...] | None = Field(default=None, min_length=1, max_length=20)
    """One after the other; null: one stage that trains everything for `train.epochs`."""
    start: StartConfig | None = None

    def get_sets(self) -> dict[str, SetConfig]:
        """Every data set by its name: that of `data` is "" and comes first."""
        return {"": SetConfig(data=self.data, input=self.input), **self.also}

    def get_input(self, head: str) -> InputConfig:
        """The input columns of the data set that a head learns from."""
        name = (self.heads or {})[head].data
        return self.also[name].input if name else self.input

    def get_link(self, position: int) -> LinkConfig:
        """The link at `position`, 1 … depth: its kind resolved, its density as the course of densities has it.

        Where one mapping stands for all links, a tie binds those after the link that it names.
        """
        links = self.chain.links
        link = links[position - 1] if isinstance(links, tuple) else links
        update: dict[str, object] = {"density": link.density * self.get_share(position)}
        if not isinstance(links, tuple) and isinstance(link.tie, int) and position <= link.tie:
            update["tie"] = None
        if link.kind == "auto":
            update["kind"] = self._choose_kind(position)
        return link.model_copy(update=update)

    def _choose_kind(self, position: int) -> str:
        """The kind of a link that leaves it open, by what heads read and by what ties and inits allow.

        A tag hangs on the words around it, which convolutions learn soonest; an answer may stand far from its question.
        """
        reading = {head.kind for head in (self.heads or {}).values()}.intersection(POSITION_KINDS)
        if not reading:
            return "bottleneck"
        links = self.chain.links if isinstance(self.chain.links, tuple) else (self.chain.links,)
        alike = any(link.tie is not None or link.init == "backbone" for link in links)
        return "attention" if alike or reading != {"tagging"} or position == self.chain.depth else "conv"

    def get_head(self, name: str, classes: int) -> HeadConfig:
        """A head as it is built for so many classes: whether it has a CRF is settled.

        A head that leaves it open has one where the whole backbone is tuned: names in running text gain by it, and
        beside a backward pass through all layers it costs little. What a CRF cannot go with is heeded.
        """
        head = (self.heads or {})[name]
        if head.crf != "auto":
            return head
        plain = head.class_weights == "none" and not head.focal and not head.label_smoothing
        whole = self.backbone.tuning == "full" and self.backbone.layers is None
        suits = head.kind == "tagging" and plain and whole and classes <= MOST_CHAINED
        return head.model_copy(update={"crf": "on" if suits else "off"})

    def get_share(self, position: int) -> float:
        """A link's share of the course of densities, in (0, 1]."""
        course, depth = self.chain.densities, self.chain.depth
        if isinstance(course, tuple):
            return course[position - 1]
        return {"constant": 1.0, "growing": position / depth, "shrinking": (depth - position + 1) / depth}[course]

    def get_depths(self, head: str) -> tuple[int, ...]:
        """The positions of one head as numbers, ascending, `last` resolved."""
        depths = (self.heads or {})[head].depths
        return tuple(sorted({self.chain.depth if depth == "last" else depth for depth in depths}))

    def get_outputs(self, head: str) -> tuple[int, ...]:
        """The positions at which one head answers: its depths, or of a mixture the deepest."""
        depths = self.get_depths(head)
        return depths[-1:] if (self.heads or {})[head].mixture else depths

    def get_depth_weights(self, head: str) -> dict[int, float]:
        """Position -> v_d of one head."""
        config = (self.heads or {})[head]
        weights = config.depth_weights or (1.0,) * len(config.depths)
        return {
            self.chain.depth if depth == "last" else depth: weight
            for depth, weight in zip(config.depths, weights, strict=True)
        }

    def get_prune(self, objective: str) -> float:
        """`train.prune` where it has a meaning: what is hidden in texts is drawn anew each epoch, and AdaLoRA plans its
        ranks by the number of steps."""
        return self.train.prune if objective == "tasks" and self.backbone.tuning != "adalora" else 0.0

    @property
    def average(self) -> float:
        """`train.average` where it has a meaning: not with AdaLoRA, whose ranks the weights of one step have."""
        return self.train.average if self.backbone.tuning != "adalora" else 0.0

    def get_learners(self, stage: StageConfig) -> frozenset[str]:
        """The heads that a stage trains.

        `tasks` are the stage's own, else all heads with a column, and those of causal language modelling, whose inputs
        need no masking.
        """
        if stage.objective != "tasks":
            return self.get_heads_of(stage.objective)
        left_out = {kind for kind in SELF_SUPERVISED if kind != "causal_lm"}
        heads = {name for name, head in (self.heads or {}).items() if head.kind not in left_out}
        return frozenset(heads if stage.heads is None else heads.intersection(stage.heads))

    def get_heads_of(self, kind: str) -> frozenset[str]:
        """The heads of a kind."""
        return frozenset(name for name, head in (self.heads or {}).items() if head.kind == kind)

    def get_taught(self) -> frozenset[str]:
        """The heads that some stage trains."""
        return frozenset().union(*(self.get_learners(stage) for stage in self.get_stages()))

    def find_untouched(self) -> dict[int, StageConfig]:
        """The stages, by their numbers from 1, that read unchanged texts through a backbone that is to be tuned but is
        still as it came: its states are known beforehand.

        An old run may have left it otherwise, prefixes speak from the first step on, and inputs are perturbed below the
        tuned layers.
        """
        if self.backbone.tuning in ("frozen", "prefix") or self.start is not None or self.train.adversarial:
            return {}
        leading = takewhile(lambda item: "backbone" not in item[1].trains, enumerate(self.get_stages(), start=1))
        return {number: stage for number, stage in leading if stage.objective != "masked_lm"}

    @property
    def uses_lexical(self) -> bool:
        """Whether link 1 reads word shapes and affixes; not by itself where a head predicts the next token, which the
        affixes of a word that has begun would give away."""
        if self.chain.lexical == "auto":
            kinds = {head.kind for head in (self.heads or {}).values()}
            return "tagging" in kinds and "causal_lm" not in kinds and self.chain.depth > 0
        return self.chain.lexical == "on" and self.chain.depth > 0

    def get_stages(self) -> tuple[StageConfig, ...]:
        """The stages in order, what they leave open filled from `train` and `chain`; one where none are given."""
        given = self.stages or (StageConfig(epochs=self.train.epochs),)
        return tuple(
            stage.model_copy(
                update={
                    "name": stage.name or f"{number}-{stage.objective}",
                    "depth": self.chain.depth if stage.depth is None else stage.depth,
                    "learning_rate": stage.learning_rate or self.train.learning_rate,
                    "backbone_learning_rate": stage.backbone_learning_rate or self.train.backbone_learning_rate,
                }
            )
            for number, stage in enumerate(given, start=1)
        )
