"""What an objective without labels asks of a backbone. No torch: the screens ask, too."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from chain_core.config import Config
from chain_core.errors import ConfigError
from chain_core.modeling.backbones.catalogue import BackboneFacts, find_mask_token, find_special_tokens, load_tokenizer


@dataclass(frozen=True)
class Vocabulary:
    """What masking must know of a tokenizer."""

    mask: int
    """Number of the mask token."""
    special: np.ndarray
    """(V,) bool: tokens that are never hidden."""
    size: int
    """Tokens that the backbone has a vector for; a tokenizer may know more."""


@lru_cache(maxsize=8)
def build_vocabulary(facts: BackboneFacts) -> Vocabulary | None:
    """What masking must know; None where the backbone has no token that hides another."""
    tokenizer = load_tokenizer(facts.folder)
    mask = find_mask_token(facts.folder, tokenizer)
    if mask is None:
        return None
    special = np.zeros(max(facts.vocab_size, tokenizer.get_vocab_size()), bool)
    special[[mask, *find_special_tokens(tokenizer)]] = True
    return Vocabulary(mask, special, facts.vocab_size)


def find_objective_problems(config: Config, facts: BackboneFacts) -> Iterator[ConfigError]:
    """What a stage or a head asks of the backbone that it cannot do."""
    stages = [(f"stages[{index}].objective", stage.objective) for index, stage in enumerate(config.stages or ())]
    heads = [(f"heads.{name}.kind", head.kind) for name, head in (config.heads or {}).items()]
    for path, objective in (*stages, *heads):
        if objective == "causal_lm" and not facts.causal:
            yield ConfigError("causal_lm_encoder", path=path, backbone=facts.name)
        if objective == "masked_lm" and build_vocabulary(facts) is None:
            yield ConfigError("no_mask_token", path=path, backbone=facts.name)
