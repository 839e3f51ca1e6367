"""What a config asks of the run that it starts from, held against what that run's folder says, without its weights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from chain_core.config import LORA_TUNINGS, Config
from chain_core.data.unlabelled import check_source
from chain_core.errors import ChainError, ConfigError, explain_failure
from chain_core.modeling.backbones.catalogue import BackboneFacts, compute_weights_key, read_facts
from chain_core.modeling.backbones.shapes import BackboneShapes, is_target
from chain_core.services.backbones import is_local
from chain_core.services.rows.replay import find_bundle, find_common_heads, load_config

_SAME_FACTORS = {"rslora": "lora"}
"""Tunings whose parameters have the names and shapes of another's."""


def find_start_problems(
    config: Config, facts: BackboneFacts, shapes: BackboneShapes | None, folder: Path
) -> Iterator[ChainError]:
    """A run that is not there, or of another backbone, width or tuning; a replay without a head or rows."""
    assert config.start is not None
    try:
        bundle = find_bundle(config.start.run, folder)
        old = load_config(bundle)
        old_facts = _read_facts(old, facts)
    except ChainError as error:
        yield error.at("start.run")
        return
    if old_facts is not None and not _is_same(old_facts, facts):
        yield ConfigError("start_backbone", path="start.run", old=old_facts.name, new=facts.name)
        return
    if old.chain.depth and config.chain.depth and old.chain.width != config.chain.width:
        yield ConfigError("start_width", path="chain.width", given=config.chain.width, old=old.chain.width)
    tuned = _describe_tuning(old, facts, shapes)
    if tuned and tuned != _describe_tuning(config, facts, shapes):
        given = config.backbone.tuning
        yield ConfigError("start_tuning", path="backbone.tuning", given=given, old=old.backbone.tuning)
    if config.start.replay:
        yield from _check_replay(config, old, bundle)


def _check_replay(config: Config, old: Config, bundle: Path) -> Iterator[ChainError]:
    if not find_common_heads(old, config):
        yield ConfigError("start_no_heads", path="start.replay")
        return
    for part in old.get_sets().values():
        for source in (part.data.train, part.data.validation, part.data.test):
            try:
                if isinstance(source, str):
                    check_source(source, bundle)
            except (ChainError, OSError) as error:
                yield explain_failure(error).at("start.replay")
                return


def _read_facts(old: Config, facts: BackboneFacts) -> BackboneFacts | None:
    """The old run's backbone; None where a hub would have to be asked."""
    if old.backbone.name == facts.name:
        return facts
    return read_facts(old.backbone.name) if is_local(old.backbone.name) else None


def _is_same(old: BackboneFacts, new: BackboneFacts) -> bool:
    return old.folder == new.folder or compute_weights_key(old.folder) == compute_weights_key(new.folder)


def _describe_tuning(config: Config, facts: BackboneFacts, shapes: BackboneShapes | None) -> tuple[Any, ...]:
    """What gives a backbone's tuned parameters their names and shapes; () where none is tuned."""
    backbone = config.backbone
    if backbone.tuning == "frozen":
        return ()
    tuned = min(backbone.layers or facts.num_layers, facts.num_layers)
    own: tuple[Any, ...] = ()
    if backbone.tuning in LORA_TUNINGS:
        names = shapes.find_target_names() if shapes is not None else ()
        wrapped = tuple(name for name in names if is_target(name, backbone.targets))
        own = (backbone.rank, wrapped or backbone.targets)
    elif backbone.tuning == "prefix":
        own = (backbone.prefix_length,)
    return _SAME_FACTORS.get(backbone.tuning, backbone.tuning), tuned, *own
