"""What a config asks for that comes to nothing: heads and links that nothing trains, options that nothing uses.

Notes, not errors: in a sweep one key's value may well idle another key, and that run is still worth its place.
Pure, without torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache, reduce
from typing import Any

from chain_core.config import LORA_TUNINGS, SELF_SUPERVISED, Config, LinkConfig, StageConfig, resolve_config
from chain_core.data.cells import Note, build_note
from chain_core.modeling.reads import find_owner


def find_idle(config: Config) -> tuple[Note, ...]:
    """A note for each. `config`: with its heads known, those that its stages bring along as well."""
    return tuple(
        note for find in (_find_untaught, _find_unreached, _find_empty, _find_options) for note in find(config)
    )


def _find_untaught(config: Config) -> Iterator[Note]:
    """Heads with a column, but no stage that learns the tasks; of an old run's heads nothing is known here."""
    heads = (config.heads or {}).items()
    untaught = [name for name, head in heads if head.kind not in SELF_SUPERVISED and name not in config.get_taught()]
    if untaught and config.start is None:
        yield build_note("heads_untaught", heads=", ".join(untaught), count=len(untaught))


def _find_unreached(config: Config) -> Iterator[Note]:
    """Links that are to train but get no gradient. Where no stage trains links at all, that is what was asked for."""
    stages = [stage for stage in config.get_stages() if "links" in stage.trains]
    learning = {find_owner(config, position) for stage in stages for position in _list_reached(config, stage)}
    positions = [
        position
        for position in range(1, config.chain.depth + 1)
        if config.get_link(position).strategy == "train" and find_owner(config, position) not in learning
    ]
    if stages and positions:
        yield build_note("links_unreached", links=_join(positions), count=len(positions))


def _list_reached(config: Config, stage: StageConfig) -> Iterator[int]:
    """The links that some head's loss reaches in a stage: from each of its places back to the first, or to a detach."""
    heads, depth = config.heads or {}, config.chain.depth if stage.depth is None else stage.depth
    for name in config.get_learners(stage):
        for place, weight in config.get_depth_weights(name).items():
            position = min(place, depth) if heads[name].weight * weight else 0
            while position:
                yield position
                position = 0 if config.get_link(position).detach else position - 1


def _find_empty(config: Config) -> Iterator[Note]:
    """Links that are frozen while they add nothing, and that no old run fills."""
    positions = [
        position
        for position in range(1, config.chain.depth + 1)
        if all(_is_empty(config.get_link(each)) for each in (position, find_owner(config, position)))
    ]
    if positions and config.start is None:
        yield build_note("links_empty", links=_join(positions), count=len(positions))


def _is_empty(link: LinkConfig) -> bool:
    return link.strategy == "freeze" and link.init == "identity"


Works = Callable[[Config], bool]
_TAKES: tuple[tuple[str, Works, tuple[str, ...]], ...] = (
    (
        "backbone.tuning ≠ frozen",
        lambda config: config.backbone.tuning != "frozen",
        ("backbone.layers", "train.backbone_learning_rate", "train.l2_sp"),
    ),
    (
        f"backbone.tuning = {' | '.join(LORA_TUNINGS)}",
        lambda config: config.backbone.tuning in LORA_TUNINGS,
        ("backbone.rank", "backbone.alpha", "backbone.dropout", "backbone.targets"),
    ),
    (
        "backbone.tuning = adalora",
        lambda config: config.backbone.tuning == "adalora",
        ("backbone.final_rank",),
    ),
    (
        "backbone.tuning = prefix",
        lambda config: config.backbone.tuning == "prefix",
        ("backbone.prefix_length",),
    ),
    ("chain.depth ≥ 1", lambda config: config.chain.depth > 0, ("chain.budget",)),
    (
        "augment.copies ≥ 1",
        lambda config: config.augment.copies > 0,
        tuple(f"augment.{key}" for key in ("delete", "swap", "replace", "neighbours", "synonyms", "back_translation")),
    ),
    (
        "augment.back_translation",
        lambda config: config.augment.back_translation is not None,
        ("augment.languages", "augment.prefixes"),
    ),
    (
        "backbone.tuning ≠ adalora",
        lambda config: config.get_prune("tasks") == config.train.prune,
        ("train.prune",),
    ),
    (
        "backbone.tuning ≠ adalora",
        lambda config: config.average == config.train.average,
        ("train.average",),
    ),
    (
        "train.sampling = temperature",
        lambda config: config.train.sampling == "temperature",
        ("train.temperature",),
    ),
)
"""What it takes for some keys to have an effect, whether that is so, and the keys."""


def _find_options(config: Config) -> Iterator[Note]:
    """Keys that differ from the preset's value, or from the default, and all the same change nothing."""
    default = _get_default(config.preset)
    for takes, works, keys in _TAKES:
        for key in keys:
            if not works(config) and _read(config, key) != _read(default, key):
                yield build_note("no_effect", path=key, takes=takes)
    for path, link, kinds in _list_links(config):
        if link.density != 1 and link.tie == "backbone":
            yield build_note("no_effect", path=f"{path}.density", takes=f"{path}.tie ≠ backbone")
        if link.kernel != LinkConfig.model_fields["kernel"].default and kinds and "conv" not in kinds:
            yield build_note("no_effect", path=f"{path}.kernel", takes=f"{path}.kind = conv")
    for name, head in (config.heads or {}).items():
        for option in ("share", "mixture"):
            if getattr(head, option) and len(config.get_depths(name)) == 1:
                yield build_note("one_depth", path=f"heads.{name}.{option}")
    if config.stages is not None and config.train.epochs != default.train.epochs:
        yield build_note("epochs_beside_stages")


def _list_links(config: Config) -> Iterator[tuple[str, LinkConfig, set[str]]]:
    """(key, mapping, kinds that its links come to) of each mapping under `chain.links`."""
    links, positions = config.chain.links, range(1, config.chain.depth + 1)
    if isinstance(links, tuple):
        for position, link in zip(positions, links, strict=True):
            yield f"chain.links[{position - 1}]", link, {config.get_link(position).kind}
    else:
        yield "chain.links", links, {config.get_link(position).kind for position in positions}


@cache
def _get_default(preset: str) -> Config:
    return resolve_config({"preset": preset, "data": {"train": "-"}})


def _read(config: Config, key: str) -> Any:
    return reduce(getattr, key.split("."), config)


def _join(positions: list[int]) -> str:
    return ", ".join(str(position) for position in positions)
