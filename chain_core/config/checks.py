"""What a config's parts must have in common, beyond each key's own range: one check an idea, all in CHECKS."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise

from chain_core.config.metrics import list_metrics
from chain_core.config.root import Config
from chain_core.config.sections import (
    HEAD_KINDS,
    SELF_SUPERVISED,
    DataConfig,
    HeadConfig,
    InputConfig,
    LinkConfig,
    StageConfig,
)
from chain_core.config.shards import find_unshardable
from chain_core.errors import ConfigError

Problems = Iterator[ConfigError]


def _check_data(config: Config) -> Problems:
    yield from _check_fractions("data", config.data)
    yield from _check_input("input", config.input)
    for name, part in config.also.items():
        yield from _check_fractions(f"also.{name}.data", part.data)
        yield from _check_input(f"also.{name}.input", part.input)
        if config.heads is not None and not any(head.data == name for head in config.heads.values()):
            yield ConfigError("also_unused", path=f"also.{name}", given=name)


def _check_fractions(path: str, data: DataConfig) -> Problems:
    for key in ("validation", "test"):
        fraction = getattr(data, key)
        if isinstance(fraction, float) and not 0 < fraction < 1:
            yield ConfigError("fraction", path=f"{path}.{key}", given=fraction)
    fractions = [value for value in (data.validation, data.test) if isinstance(value, float)]
    if len(fractions) == 2 and sum(fractions) >= 1:
        yield ConfigError("fractions_sum", path=f"{path}.test", given=sum(fractions))


def _check_input(path: str, columns: InputConfig) -> Problems:
    if columns.tokens and (columns.text or columns.pair):
        yield ConfigError("input_both", path=path)
    if columns.pair and not columns.text:
        yield ConfigError("input_pair_alone", path=f"{path}.pair")


def _check_backbone(config: Config) -> Problems:
    backbone = config.backbone
    if backbone.final_rank is not None and backbone.final_rank > backbone.rank:
        yield ConfigError("must_be_at_most", path="backbone.final_rank", given=backbone.final_rank, limit=backbone.rank)


def _check_chain(config: Config) -> Problems:
    chain = config.chain
    if isinstance(chain.links, tuple) and len(chain.links) != chain.depth:
        yield ConfigError("links_length", path="chain.links", given=len(chain.links), depth=chain.depth)
        return
    if isinstance(chain.densities, tuple) and len(chain.densities) != chain.depth:
        yield ConfigError("densities_length", path="chain.densities", given=len(chain.densities), depth=chain.depth)
        return
    if chain.taps is not None and len(chain.taps) != chain.depth:
        yield ConfigError("taps_length", path="chain.taps", given=len(chain.taps), depth=chain.depth)
    if isinstance(chain.links, tuple):
        for number, link in enumerate(chain.links, start=1):
            yield from _check_link(f"chain.links[{number - 1}]", link)
            yield from _check_tie(f"chain.links[{number - 1}].tie", config, number)
    else:
        yield from _check_link("chain.links", chain.links)
        if isinstance(chain.links.tie, int) and chain.links.tie >= max(chain.depth, 1):
            yield ConfigError("tie_later", path="chain.links.tie", given=chain.links.tie)
        else:
            positions = range(1, chain.depth + 1)
            problems = [found for number in positions for found in _check_tie("chain.links.tie", config, number)]
            yield from problems[:1]


def _check_link(path: str, link: LinkConfig) -> Problems:
    if link.kernel % 2 == 0:
        yield ConfigError("kernel_even", path=f"{path}.kernel", given=link.kernel)
    if link.tie == "backbone" and link.kind != "backbone":
        yield ConfigError("tie_backbone_kind", path=f"{path}.tie", kind=link.kind)
    if link.init == "backbone" and link.kind == "conv":
        yield ConfigError("init_backbone_kind", path=f"{path}.init", kind=link.kind)


def _check_tie(path: str, config: Config, position: int) -> Problems:
    link = config.get_link(position)
    if not isinstance(link.tie, int):
        return
    if link.tie >= position:
        yield ConfigError("tie_later", path=path, given=link.tie)
        return
    other = config.get_link(link.tie)
    if (other.kind, other.density, other.kernel) != (link.kind, link.density, link.kernel):
        yield ConfigError("tie_differs", path=path, given=link.tie)


def _check_heads(config: Config) -> Problems:
    if config.heads is None:
        return
    if not config.heads:
        yield ConfigError("no_heads", path="heads")
    for name, head in config.heads.items():
        path = f"heads.{name}"
        yield from _check_depths(path, head, config.chain.depth)
        if name == "joint":
            yield ConfigError("head_name_joint", path=path)
        if head.data is not None and head.data not in config.also:
            known = ", ".join(config.also) or "-"
            yield ConfigError("head_data_unknown", path=f"{path}.data", given=head.data, known=known)
        else:
            yield from _check_head_input(path, head, config.get_input(name))
        yield from _check_head_options(path, head)
    if any(_weighs_nothing(config, stage) for stage in config.get_stages()):
        yield ConfigError("weights_all_zero", path="heads")
    yield from _check_metric(config)


def _weighs_nothing(config: Config, stage: StageConfig) -> bool:
    """Whether a stage has heads, but no loss."""
    learners = [(config.heads or {})[name] for name in config.get_learners(stage)]
    return bool(learners) and not any(head.weight and any(head.depth_weights or (1.0,)) for head in learners)


def _check_metric(config: Config) -> Problems:
    metric, heads = config.train.metric, config.heads or {}
    if metric == "mean":
        return
    if metric.partition("/")[0] not in {*heads, "joint"}:
        yield ConfigError("metric_unknown", path="train.metric", given=metric, known=", ".join(["mean", *heads]))
        return
    taught = config.get_taught()
    kinds = {name: head.kind for name, head in heads.items() if name in taught}
    known = list_metrics(kinds, {stage.objective for stage in config.get_stages()})
    if metric not in known:
        yield ConfigError("metric_not_measured", path="train.metric", given=metric, known=", ".join(["mean", *known]))


def _check_depths(path: str, head: HeadConfig, chain_depth: int) -> Problems:
    for index, depth in enumerate(head.depths):
        if depth != "last" and depth > chain_depth:
            yield ConfigError("depth_beyond", path=f"{path}.depths[{index}]", given=depth, depth=chain_depth)
    positions = [chain_depth if depth == "last" else depth for depth in head.depths]
    if len(set(positions)) != len(positions):
        yield ConfigError("depths_twice", path=f"{path}.depths")
    if head.depth_weights is not None and len(head.depth_weights) != len(head.depths):
        yield ConfigError("depth_weights_length", path=f"{path}.depth_weights")


def _check_head_input(path: str, head: HeadConfig, columns: InputConfig) -> Problems:
    if head.kind in SELF_SUPERVISED:
        return
    if not head.column:
        yield ConfigError("missing_key", path=f"{path}.column")
    if head.kind == "tagging" and not columns.tokens and columns.text:
        yield ConfigError("tagging_needs_tokens", path=f"{path}.kind")
    if head.kind == "span" and columns.tokens:
        yield ConfigError("span_needs_text", path=f"{path}.kind")
    if head.pooling == "pair" and (columns.text or columns.tokens) and not columns.pair:
        yield ConfigError("pooling_needs_pair", path=f"{path}.pooling")


OPTIONS_OF_KINDS = {
    "class_weights": ("classification", "multilabel", "tagging", "relation"),
    "crf": ("tagging",),
    "start": ("span",),
    "spans": ("relation",),
    "focal": ("classification", "multilabel", "tagging", "relation"),
    "label_smoothing": tuple(kind for kind in HEAD_KINDS if kind != "regression"),
    "threshold": ("multilabel", "tagging"),
    "separator": ("multilabel",),
    "pooling": ("classification", "multilabel", "regression", "next_sentence"),
}
"""Options that only some kinds of heads have."""


def _check_spans(config: Config) -> Problems:
    """Marks need a text to stand in, and no other head may count the characters of that text."""
    heads = config.heads or {}
    known = {name: head for name, head in heads.items() if head.data is None or head.data in config.also}
    by_marks = {head.data for head in known.values() if head.kind == "relation" and head.spans is None}
    for name, head in known.items():
        columns = config.get_input(name)
        if head.kind == "relation" and head.spans is None and columns.tokens:
            yield ConfigError("relation_needs_spans", path=f"heads.{name}.spans")
        in_columns = head.kind == "relation" and head.spans is not None
        if head.data in by_marks and (in_columns or (head.kind == "span" and not columns.pair)):
            yield ConfigError("span_beside_marks", path=f"heads.{name}")


def _check_head_options(path: str, head: HeadConfig) -> Problems:
    fields = HeadConfig.model_fields
    for option, kinds in OPTIONS_OF_KINDS.items():
        asked = getattr(head, option) not in (fields[option].default, "off")
        if asked and head.kind not in kinds:
            yield ConfigError("option_of_kinds", path=f"{path}.{option}", kind=head.kind, known=", ".join(kinds))
    if head.crf == "on":
        for option in ("class_weights", "focal", "label_smoothing"):
            if getattr(head, option) != fields[option].default:
                yield ConfigError("crf_options", path=f"{path}.{option}", option=option)
    if head.mixture and (head.share or head.depth_weights is not None):
        yield ConfigError("mixture_alone", path=f"{path}.mixture")


def _check_stages(config: Config) -> Problems:
    stages = config.get_stages()
    depth = config.chain.depth
    for index, stage in enumerate(stages):
        assert stage.depth is not None
        path = f"stages[{index}]"
        if stage.depth > depth:
            yield ConfigError("stage_depth_beyond", path=f"{path}.depth", given=stage.depth, depth=depth)
            return
        if stage.trains == ("backbone",) and config.backbone.tuning == "frozen":
            yield ConfigError("stage_trains_nothing", path=f"{path}.trains")
        elif config.heads is not None and not _trains_something(config, stage):
            yield ConfigError("stage_without_parameters", path=f"{path}.trains", parts=", ".join(stage.trains))
        if stage.data is not None and stage.objective == "tasks":
            yield ConfigError("stage_data_labelled", path=f"{path}.data")
        if stage.heads is not None and config.heads is not None:
            yield from _check_stage_heads(config, stage, f"{path}.heads")
    for index, (before, after) in enumerate(pairwise(stages), start=1):
        assert before.depth is not None
        assert after.depth is not None
        if after.depth < before.depth:
            yield ConfigError("stage_shrinks", path=f"stages[{index}].depth", given=after.depth, before=before.depth)
        for position in range(before.depth + 1, after.depth + 1):
            link = config.get_link(position)
            if link.init != "identity" or isinstance(link.tie, int):
                yield ConfigError("growth_not_identity", path=f"stages[{index}].depth", link=position)


def _check_stage_heads(config: Config, stage: StageConfig, path: str) -> Problems:
    if stage.objective != "tasks":
        yield ConfigError("stage_heads_objective", path=path, objective=stage.objective)
        return
    possible = config.get_learners(stage.model_copy(update={"heads": None}))
    for index, name in enumerate(stage.heads or ()):
        if name not in possible:
            known = ", ".join(sorted(possible)) or "-"
            yield ConfigError("stage_head_unknown", path=f"{path}[{index}]", given=name, known=known)


def _trains_something(config: Config, stage: StageConfig) -> bool:
    """Whether a stage that holds the heads still has parameters to train that their answers depend on."""
    if "heads" in stage.trains or ("backbone" in stage.trains and config.backbone.tuning != "frozen"):
        return True
    if "links" not in stage.trains or not _reads_links(config, stage):
        return False
    # A chain that has not begun to grow passes on what its first link joins.
    used = range(1, max(stage.depth or 0, 1) + 1)
    return config.uses_lexical or any(config.get_link(position).strategy == "train" for position in used)


def _reads_links(config: Config, stage: StageConfig) -> bool:
    """Whether a head that takes part stands behind a link; one that the stage itself adds stands behind the last."""
    if not config.chain.depth:
        return False
    heads = config.get_learners(stage)
    return any(max(config.get_depths(name)) > 0 for name in heads) if heads else True


def _check_shard(config: Config) -> Problems:
    key = find_unshardable(config)
    if config.train.shard == "on" and key:
        yield ConfigError("shard_with", path="train.shard", key=key)


def _check_language(config: Config) -> Problems:
    objectives, taught = {stage.objective for stage in config.get_stages()}, config.get_taught()
    for name, head in (config.heads or {}).items():
        if head.kind in SELF_SUPERVISED and name not in taught:
            yield ConfigError("head_without_stage", path=f"heads.{name}", kind=head.kind)
    kinds = {head.kind for head in (config.heads or {}).values()}
    if config.chain.lexical == "on" and "causal_lm" in kinds | objectives:
        yield ConfigError("causal_lm_lexical", path="chain.lexical")


CHECKS: tuple[Callable[[Config], Problems], ...] = (
    *(_check_data, _check_backbone, _check_chain, _check_heads, _check_spans, _check_stages, _check_language),
    _check_shard,
)
"""In the order in which a person reads the config."""
