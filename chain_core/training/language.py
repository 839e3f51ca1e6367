"""Feeds of the stages that learn the texts themselves: hidden tokens, next tokens, next sentences."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np
import torch

from chain_core.config import Config, StageConfig
from chain_core.data.encode import Encoded
from chain_core.data.text import Texts
from chain_core.data.unlabelled import hold_out, pair_sentences
from chain_core.modeling.backbones.catalogue import BackboneFacts
from chain_core.modeling.backbones.objectives import build_vocabulary
from chain_core.modeling.joined import States
from chain_core.modeling.model import ChainModel, load_lower
from chain_core.training.feed import Feed, Labels
from chain_core.training.masking import MaskedFeed, build_next_tokens, fix_draws

Encode = Callable[[Texts, str], Encoded]
"""Texts and where they come from -> encoded."""
Read = Callable[[Encoded, str, int], Mapping[int, States]]
"""Encoded rows, where they come from, a stage's number -> the cached states that it reads."""


@dataclass(frozen=True)
class Reader:
    """How rows of a stage's own become what the model reads, as the run's rows did."""

    config: Config
    facts: BackboneFacts
    model: ChainModel
    device: torch.device
    dtype: torch.dtype
    pooled: bool
    encode: Encode
    read: Read
    first: Mapping[int, Feed] = field(default_factory=dict)
    """Number of each stage before the backbone's tuning -> the run's rows as it reads them."""


def build_language_feeds(
    reader: Reader, feed: Feed, texts: Sequence[Texts], unlabelled: Mapping[int, Texts]
) -> dict[int, Feed]:
    """Number of each stage without labels -> its rows. `unlabelled`: texts of the stages that bring their own;
    the others learn from `feed`'s, whose inputs are `texts`."""
    lower = cache(lambda: load_lower(reader.facts, reader.model.base).to(reader.device))
    feeds = {}
    for number, stage in enumerate(reader.config.get_stages(), start=1):
        if stage.objective != "tasks":
            own = unlabelled.get(number)
            parts, splits = (texts, feed.splits) if own is None else ([own], hold_out(len(own), _get_seed(reader)))
            build = {"masked_lm": _build_masked, "causal_lm": _build_causal, "next_sentence": _build_sentences}
            feeds[number] = build[stage.objective](reader, stage, number, feed, parts, splits, own, lower)
    return feeds


def _get_seed(reader: Reader) -> int:
    return reader.config.train.seed


def _build_masked(reader: Reader, stage: StageConfig, number: int, feed: Feed, parts, splits, own, lower) -> Feed:
    vocabulary = build_vocabulary(reader.facts)
    assert vocabulary is not None
    encoded = feed.encoded if own is None else reader.encode(own, stage.data or "")
    return MaskedFeed(
        encoded=encoded, hidden={}, pooled=False, gold={}, labels={}, splits=splits,
        heads=tuple(sorted(reader.config.get_heads_of("masked_lm"))),
        vocabulary=vocabulary,
        share=stage.mask,
        load_lower=lower if reader.model.base else None,
        layers=reader.model.cached_layers,
        device=reader.device,
        dtype=reader.dtype,
        random=np.random.default_rng([_get_seed(reader), number]),
        fixed=fix_draws(encoded, splits["validation"], vocabulary, _get_seed(reader)),
    )  # fmt: skip


def _build_causal(reader: Reader, stage: StageConfig, number: int, feed: Feed, parts, splits, own, lower) -> Feed:
    if own is None:
        base = replace(reader.first.get(number, feed), gold={}, texts=None)
    else:
        encoded = reader.encode(own, stage.data or "")
        base = Feed(encoded, reader.read(encoded, stage.data or "", number), reader.pooled, {}, {}, splits)
    return replace(base, labels=build_causal_labels(reader.config, base.encoded))


def _build_sentences(reader: Reader, stage: StageConfig, number: int, feed: Feed, parts, splits, own, lower) -> Feed:
    paired = pair_sentences(parts, {name: splits[name] for name in ("train", "validation")}, _get_seed(reader))
    source = stage.data or reader.config.data.train
    encoded = reader.encode(paired.texts, source)
    labels: dict[str, Labels] = dict.fromkeys(reader.config.get_heads_of("next_sentence"), paired.follows)
    return Feed(encoded, reader.read(encoded, source, number), reader.pooled, {}, labels, paired.splits)


def build_causal_labels(config: Config, encoded: Encoded) -> dict[str, Labels]:
    """The next tokens, for each head that predicts them."""
    heads = config.get_heads_of("causal_lm")
    return dict.fromkeys(sorted(heads), build_next_tokens(encoded)) if heads else {}
