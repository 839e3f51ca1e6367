"""Which widget shows which key of the config, in groups that stand together. Pure: no streamlit.

A field says how it looks and where it applies; what its key may hold is read from the config (`limits`).
"""

from __future__ import annotations

from dataclasses import dataclass

from chain_core.config import (
    LORA_TUNINGS,
    AugmentConfig,
    BackboneConfig,
    ChainConfig,
    DataConfig,
    HeadConfig,
    InputConfig,
    LinkConfig,
    StageConfig,
    StartConfig,
    TrainConfig,
)
from chain_core.config.fields import Section
from chain_core.ui.chain.conditions import (
    When,
    augments,
    convolves,
    draws_fractions,
    has_kind,
    has_pair,
    has_several_heads,
    has_several_losses,
    has_tuning,
    hides_words,
    is_several,
    is_tuned,
    is_tuned_but,
    learns_itself,
    learns_some_heads,
    mixes,
    smooths,
    translates,
    weighs_classes,
)


@dataclass(frozen=True)
class Field:
    """One key's widget. Its help stands in the catalogues under the label's key and `_help`."""

    name: str
    label: str
    widget: str = ""
    """Of `fields.WIDGETS`; "": the one that the key's type suggests."""
    step: float = 0.0
    """Of a number."""
    when: When = lambda section, whole: True
    prefix: str = ""
    """Of a choice's words in the catalogues; "": the label."""
    off: str = "chain.not_set"
    """What an empty field shows."""
    wide: bool = False
    """Whether it has a row to itself."""


@dataclass(frozen=True)
class Group:
    """Fields of one section that are shown together."""

    section: type[Section]
    fields: tuple[Field, ...]


_LORA = has_tuning(*LORA_TUNINGS)

TUNING = Group(
    BackboneConfig,
    (
        Field(
            "layers",
            "chain.layers",
            off="chain.all_layers",
            when=lambda section, whole: section.get("tuning") != "frozen",
        ),
        Field("rank", "chain.rank", when=_LORA),
        Field("prefix_length", "chain.prefix_length", when=has_tuning("prefix")),
    ),
)
MORE_TUNING = Group(
    BackboneConfig,
    (
        Field("alpha", "chain.alpha", step=1.0, when=_LORA),
        Field("dropout", "chain.lora_dropout", "slide", step=0.05, when=_LORA),
        Field("final_rank", "chain.final_rank", off="chain.half_the_rank", when=has_tuning("adalora")),
        Field("targets", "chain.targets", "targets", when=_LORA),
    ),
)
LINKS = Group(
    LinkConfig,
    (
        Field("kind", "chain.link_kind", prefix="chain.link"),
        Field("density", "chain.density", "slide", step=0.05),
        Field("kernel", "chain.kernel", step=2, when=convolves),
    ),
)
MORE_LINKS = Group(
    LinkConfig,
    (
        Field("init", "chain.init"),
        Field("dropout", "chain.dropout", "slide", step=0.05),
        Field("tie", "chain.tie", "tie"),
        Field("strategy", "chain.freeze", "freeze"),
        Field("detach", "chain.detach"),
    ),
)
CHAIN = Group(
    ChainConfig,
    (
        Field("densities", "chain.densities", "densities"),
        Field("budget", "chain.budget", "count"),
        Field("taps", "chain.taps", "numbers", off="chain.evenly_spaced"),
        Field("lexical", "chain.lexical"),
    ),
)
HEAD = Group(
    HeadConfig,
    (
        Field("start", "chain.span_start", "column", when=has_kind("span")),
        Field("spans", "chain.spans", "column_pair", when=has_kind("relation")),
        Field("mixture", "chain.mixture", when=mixes),
        Field("share", "chain.share", when=is_several),
        Field("depth_weights", "chain.depth_weights", "numbers", when=is_several),
        Field("crf", "chain.crf", when=has_kind("tagging")),
        Field("pooling", "chain.pooling", when=has_pair),
        Field("dropout", "chain.dropout", "slide", step=0.05),
        Field("label_smoothing", "chain.label_smoothing", "slide", step=0.01, when=smooths),
        Field("focal", "chain.focal", step=0.5, when=weighs_classes),
        Field("class_weights", "chain.class_weights", "balance", when=weighs_classes),
        Field("threshold", "chain.threshold", "tune", when=has_kind("tagging", "multilabel")),
        Field("separator", "chain.separator", off="chain.automatic", when=has_kind("multilabel")),
    ),
)
MORE_TRAINING = Group(
    TrainConfig,
    (
        Field("optimiser", "chain.optimiser"),
        Field("learning_rate", "chain.learning_rate", step=1e-4),
        Field("backbone_learning_rate", "chain.backbone_learning_rate", step=1e-5, when=is_tuned),
        Field("schedule", "chain.schedule"),
        Field("warmup", "chain.warmup", "slide", step=0.01),
        Field("clip", "chain.clip", step=0.1, off="chain.never"),
        Field("patience", "chain.patience", off="chain.never"),
        Field("metric", "chain.metric", "metric"),
        Field("prune", "chain.prune", "slide", step=0.05, when=is_tuned_but("adalora")),
        Field("average", "chain.average", "slide", step=0.05, when=is_tuned_but("adalora")),
        Field("accumulate", "chain.accumulate"),
        Field("checkpoint_minutes", "chain.checkpoint_minutes", step=1.0, off="chain.never"),
        Field("checkpoint_steps", "chain.checkpoint_steps", off="chain.never"),
        Field("seed", "chain.seed"),
        Field("precision", "chain.precision"),
        Field("device", "chain.device"),
        Field("shard", "chain.shard", when=is_tuned),
        Field("trackers", "chain.trackers", "any", wide=True),
    ),
)
REGULARISERS = Group(
    TrainConfig,
    (
        Field("weight_decay", "chain.weight_decay", step=0.01),
        Field("l2_sp", "chain.l2_sp", step=0.001, when=is_tuned),
        Field("r_drop", "chain.r_drop", step=0.5),
        Field("adversarial", "chain.adversarial", step=0.1),
    ),
)
BALANCE = Group(
    TrainConfig,
    (
        Field("loss_weights", "chain.loss_weights", when=has_several_losses),
        Field("sampling", "chain.sampling", when=has_several_heads),
        Field(
            "temperature", "chain.temperature", step=0.5,
            when=lambda section, whole: section.get("sampling") == "temperature",
        ),
    ),
)  # fmt: skip
AUGMENT = Group(
    AugmentConfig,
    (
        Field("copies", "chain.copies"),
        Field("delete", "chain.delete", "slide", step=0.05, when=augments),
        Field("swap", "chain.swap", "slide", step=0.05, when=augments),
        Field("replace", "chain.replace", "slide", step=0.05, when=augments),
        Field(
            "neighbours", "chain.neighbours", step=5,
            when=lambda section, whole: augments(section, whole) and not section.get("synonyms"),
        ),
        Field("synonyms", "chain.synonyms", when=augments),
        Field("back_translation", "chain.back_translation", "line_pair", wide=True, when=augments),
        Field("languages", "chain.languages", "line_pair", wide=True, when=translates),
        Field("prefixes", "chain.prefixes", "line_pair", wide=True, when=translates),
    ),
)  # fmt: skip
DATA = Group(
    DataConfig,
    (
        Field("train", "chain.data_train", "source"),
        Field("split", "chain.data_split", "column"),
        Field("validation", "chain.data_validation", "share_or_source"),
        Field("test", "chain.data_test", "share_or_source"),
        Field("split_seed", "chain.split_seed", when=draws_fractions),
        Field("encoding", "chain.encoding", off="chain.automatic"),
        Field("delimiter", "chain.delimiter", off="chain.automatic"),
    ),
)
INPUT = Group(
    InputConfig,
    (
        Field("text", "chain.input_text", "column", when=lambda section, whole: not section.get("tokens")),
        Field("pair", "chain.input_pair", "column", when=lambda section, whole: bool(section.get("text"))),
        Field("tokens", "chain.input_tokens", "column", when=lambda section, whole: not section.get("text")),
        Field("max_length", "chain.max_length", off="chain.automatic"),
    ),
)
_AS_IN_TRAINING = "chain.as_in_training"
STAGE = Group(
    StageConfig,
    (
        Field("objective", "chain.objective"),
        Field("name", "chain.stage_name", off="chain.automatic"),
        Field("epochs", "chain.stage_epochs"),
        Field("depth", "chain.stage_depth", off="chain.all_links"),
        Field("trains", "chain.trains", "several", wide=True),
        Field("data", "chain.stage_data", "source", when=learns_itself, off="chain.train_rows"),
        Field("heads", "chain.stage_heads", "heads", wide=True, when=learns_some_heads),
        Field("mask", "chain.mask", "slide", step=0.05, when=hides_words),
        Field("learning_rate", "chain.learning_rate", step=1e-4, off=_AS_IN_TRAINING),
        Field("backbone_learning_rate", "chain.backbone_learning_rate", step=1e-5, when=is_tuned, off=_AS_IN_TRAINING),
    ),
)
START = Group(
    StartConfig,
    (
        Field("l2", "chain.start_l2", step=0.001),
        Field("replay", "chain.replay", "slide", step=0.05),
    ),
)
GROUPS = (
    *(TUNING, MORE_TUNING, LINKS, MORE_LINKS, CHAIN, HEAD, MORE_TRAINING, REGULARISERS, BALANCE),
    *(AUGMENT, DATA, INPUT, STAGE, START),
)
