"""Feeds of the stages that learn the texts themselves: hidden tokens, next tokens, next sentences."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import torch

from chain_core.config import Config, StageConfig
from chain_core.data.encode import Encoded
from chain_core.data.text import Texts
from chain_core.data.unlabelled import hold_out, pair_sentences
from chain_core.errors import ConfigError
from chain_core.modeling.catalogue import BackboneFacts, find_mask_token, find_special_tokens, load_tokenizer
from chain_core.modeling.model import ChainModel, load_lower
from chain_core.training.feed import Feed, Labels
from chain_core.training.masking import MaskedFeed, Vocabulary, build_next_tokens, fix_draws
from chain_core.training.stages import find_heads

Encode = Callable[[Texts, str], Encoded]
"""Texts and where they come from -> encoded."""
Read = Callable[[Encoded, str], Mapping[int, np.ndarray]]
"""Encoded rows -> the frozen half's cached states."""


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
        heads=tuple(sorted(find_heads(reader.config, "masked_lm"))),
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
        base = replace(feed, gold={}, texts=None)
    else:
        encoded = reader.encode(own, stage.data or "")
        base = Feed(encoded, reader.read(encoded, stage.data or ""), reader.pooled, {}, {}, splits)
    return replace(base, labels=build_causal_labels(reader.config, base.encoded))


def _build_sentences(reader: Reader, stage: StageConfig, number: int, feed: Feed, parts, splits, own, lower) -> Feed:
    paired = pair_sentences(parts, {name: splits[name] for name in ("train", "validation")}, _get_seed(reader))
    source = stage.data or reader.config.data.train
    encoded = reader.encode(paired.texts, source)
    labels: dict[str, Labels] = dict.fromkeys(find_heads(reader.config, "next_sentence"), paired.follows)
    return Feed(encoded, reader.read(encoded, source), reader.pooled, {}, labels, paired.splits)


def build_causal_labels(config: Config, encoded: Encoded) -> dict[str, Labels]:
    """The next tokens, for each head that predicts them."""
    heads = find_heads(config, "causal_lm")
    return dict.fromkeys(sorted(heads), build_next_tokens(encoded)) if heads else {}


def build_vocabulary(facts: BackboneFacts) -> Vocabulary | None:
    """What masking must know; None where the backbone has no token that hides another."""
    tokenizer = load_tokenizer(facts.folder)
    mask = find_mask_token(facts.folder, tokenizer)
    if mask is None:
        return None
    special = np.zeros(max(facts.vocab_size, tokenizer.get_vocab_size()), bool)
    special[[mask, *find_special_tokens(tokenizer)]] = True
    return Vocabulary(mask, special)


def check_objectives(config: Config, facts: BackboneFacts) -> None:
    """Raises ConfigError where a stage or a head asks of the backbone what it cannot do."""
    for path, objective in list_objectives(config):
        if objective == "causal_lm" and not facts.causal:
            raise ConfigError("causal_lm_encoder", path=path, backbone=facts.name)
        if objective == "masked_lm" and build_vocabulary(facts) is None:
            raise ConfigError("no_mask_token", path=path, backbone=facts.name)


def list_objectives(config: Config) -> list[tuple[str, str]]:
    """(path, objective) of every stage, and of every head that learns the texts themselves."""
    stages = [(f"stages[{index}].objective", stage.objective) for index, stage in enumerate(config.stages or ())]
    heads = [(f"heads.{name}.kind", head.kind) for name, head in (config.heads or {}).items()]
    return [(path, objective) for path, objective in (*stages, *heads) if objective in ("causal_lm", "masked_lm")]
