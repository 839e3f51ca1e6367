"""Which widget shows which key of the config, in groups that stand together. Pure: no streamlit.

A field says how it looks and where it applies; what its key may hold is read from the config (`chain_limits`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

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
from chain_core.config.checks import OPTIONS_OF_KINDS
from chain_core.config.fields import Section
from chain_core.ui.chain.edit import get_value

Scope = Mapping[str, Any]
When = Callable[[Scope, Scope], bool]
"""(the field's own section, the whole draft), both complete -> whether the field applies."""


@dataclass(frozen=True)
class Field:
    """One key's widget. Its help stands in the catalogues under the label's key and `_help`."""

    name: str
    label: str
    widget: str = ""
    """Of chain_fields.WIDGETS; "": the one that the key's type suggests."""
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


def _kind(*kinds: str) -> When:
    return lambda section, whole: section.get("kind") in kinds


def _tuning(*tunings: str) -> When:
    return lambda section, whole: section.get("tuning") in tunings


def _tuned_but(tuning: str) -> When:
    """Whatever the backbone's tuning is, but for this one."""
    return lambda section, whole: get_value(whole, ("backbone", "tuning")) not in (None, tuning)


_tuned = _tuned_but("frozen")


def _is_several(section: Scope, whole: Scope) -> bool:
    """Several depths, each with an output of its own."""
    depths = section.get("depths")
    return isinstance(depths, list) and len(depths) > 1 and not section.get("mixture")


def _mixes(section: Scope, whole: Scope) -> bool:
    return isinstance(section.get("depths"), list) and len(section["depths"]) > 1


def _weighs_classes(section: Scope, whole: Scope) -> bool:
    return section.get("kind") in OPTIONS_OF_KINDS["focal"] and not section.get("crf")


def _smooths(section: Scope, whole: Scope) -> bool:
    return section.get("kind") in OPTIONS_OF_KINDS["label_smoothing"] and not section.get("crf")


def _has_pair(section: Scope, whole: Scope) -> bool:
    if section.get("kind") not in OPTIONS_OF_KINDS["pooling"]:
        return False
    name = section.get("data")
    columns = get_value(whole, ("also", name, "input") if isinstance(name, str) else ("input",))
    return section.get("kind") == "next_sentence" or (isinstance(columns, Mapping) and bool(columns.get("pair")))


def _augments(section: Scope, whole: Scope) -> bool:
    copies = section.get("copies")
    return isinstance(copies, int) and copies > 0


def _has_several_heads(section: Scope, whole: Scope) -> bool:
    heads = whole.get("heads")
    return isinstance(heads, Mapping) and len(heads) > 1


def _has_several_losses(section: Scope, whole: Scope) -> bool:
    """Several heads, or one that answers at several depths."""
    heads = whole.get("heads")
    each = [head for head in heads.values() if isinstance(head, Mapping)] if isinstance(heads, Mapping) else []
    return len(each) > 1 or any(_is_several(head, whole) for head in each)


def _draws_fractions(section: Scope, whole: Scope) -> bool:
    return not section.get("split")


def _learns_itself(section: Scope, whole: Scope) -> bool:
    return section.get("objective") != "tasks"


def _hides_words(section: Scope, whole: Scope) -> bool:
    return section.get("objective") == "masked_lm"


_LORA = _tuning(*LORA_TUNINGS)

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
        Field("prefix_length", "chain.prefix_length", when=_tuning("prefix")),
    ),
)
MORE_TUNING = Group(
    BackboneConfig,
    (
        Field("alpha", "chain.alpha", step=1.0, when=_LORA),
        Field("dropout", "chain.lora_dropout", "slide", step=0.05, when=_LORA),
        Field("final_rank", "chain.final_rank", off="chain.half_the_rank", when=_tuning("adalora")),
        Field("targets", "chain.targets", "targets", when=_LORA),
    ),
)
LINKS = Group(
    LinkConfig,
    (
        Field("kind", "chain.link_kind", prefix="chain.link"),
        Field("density", "chain.density", "slide", step=0.05),
        Field("kernel", "chain.kernel", step=2, when=_kind("conv")),
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
        Field("start", "chain.span_start", "column", when=_kind("span")),
        Field("spans", "chain.spans", "column_pair", when=_kind("relation")),
        Field("mixture", "chain.mixture", when=_mixes),
        Field("share", "chain.share", when=_is_several),
        Field("depth_weights", "chain.depth_weights", "numbers", when=_is_several),
        Field("crf", "chain.crf", when=_kind("tagging")),
        Field("pooling", "chain.pooling", when=_has_pair),
        Field("dropout", "chain.dropout", "slide", step=0.05),
        Field("label_smoothing", "chain.label_smoothing", "slide", step=0.01, when=_smooths),
        Field("focal", "chain.focal", step=0.5, when=_weighs_classes),
        Field("class_weights", "chain.class_weights", "balance", when=_weighs_classes),
        Field("separator", "chain.separator", off="chain.automatic", when=_kind("multilabel")),
    ),
)
MORE_TRAINING = Group(
    TrainConfig,
    (
        Field("learning_rate", "chain.learning_rate", step=1e-4),
        Field("backbone_learning_rate", "chain.backbone_learning_rate", step=1e-5, when=_tuned),
        Field("schedule", "chain.schedule"),
        Field("warmup", "chain.warmup", "slide", step=0.01),
        Field("clip", "chain.clip", step=0.1, off="chain.never"),
        Field("patience", "chain.patience", off="chain.never"),
        Field("metric", "chain.metric", "metric"),
        Field("prune", "chain.prune", "slide", step=0.05, when=_tuned_but("adalora")),
        Field("average", "chain.average", "slide", step=0.05, when=_tuned_but("adalora")),
        Field("accumulate", "chain.accumulate"),
        Field("checkpoint_minutes", "chain.checkpoint_minutes", step=1.0, off="chain.never"),
        Field("checkpoint_steps", "chain.checkpoint_steps", off="chain.never"),
        Field("seed", "chain.seed"),
        Field("precision", "chain.precision"),
        Field("device", "chain.device"),
        Field("shard", "chain.shard", when=_tuned),
        Field("trackers", "chain.trackers", "any", wide=True),
    ),
)
REGULARISERS = Group(
    TrainConfig,
    (
        Field("weight_decay", "chain.weight_decay", step=0.01),
        Field("l2_sp", "chain.l2_sp", step=0.001, when=_tuned),
        Field("r_drop", "chain.r_drop", step=0.5),
        Field("adversarial", "chain.adversarial", step=0.1),
    ),
)
BALANCE = Group(
    TrainConfig,
    (
        Field("loss_weights", "chain.loss_weights", when=_has_several_losses),
        Field("sampling", "chain.sampling", when=_has_several_heads),
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
        Field("delete", "chain.delete", "slide", step=0.05, when=_augments),
        Field("swap", "chain.swap", "slide", step=0.05, when=_augments),
        Field("replace", "chain.replace", "slide", step=0.05, when=_augments),
        Field(
            "neighbours", "chain.neighbours", step=5,
            when=lambda section, whole: _augments(section, whole) and not section.get("synonyms"),
        ),
        Field("synonyms", "chain.synonyms", when=_augments),
        Field("back_translation", "chain.back_translation", "line_pair", wide=True, when=_augments),
    ),
)  # fmt: skip
DATA = Group(
    DataConfig,
    (
        Field("train", "chain.data_train", "source"),
        Field("split", "chain.data_split", "column"),
        Field("validation", "chain.data_validation", "share_or_source"),
        Field("test", "chain.data_test", "share_or_source"),
        Field("split_seed", "chain.split_seed", when=_draws_fractions),
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
        Field("data", "chain.stage_data", "source", when=_learns_itself, off="chain.train_rows"),
        Field("mask", "chain.mask", "slide", step=0.05, when=_hides_words),
        Field("learning_rate", "chain.learning_rate", step=1e-4, off=_AS_IN_TRAINING),
        Field("backbone_learning_rate", "chain.backbone_learning_rate", step=1e-5, when=_tuned, off=_AS_IN_TRAINING),
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
