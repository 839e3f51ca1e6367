"""What a config will build, before anything is built: parameters by part, memory and seconds. Pure, no torch.

The counts are exact (a test compares them with the built modules); memory and seconds are estimates from the
number of multiplications, the machine's measured rate, and how much of that rate such work reaches.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from chain_core.config import LEAST_BATCHES, Config, StageConfig
from chain_core.data.encode import LEXICAL_BUCKETS
from chain_core.data.schema import SENTENCE_LABELS
from chain_core.modeling.backbones.catalogue import BackboneFacts
from chain_core.modeling.backbones.shapes import BackboneShapes
from chain_core.modeling.heads.counts import count_head
from chain_core.modeling.links.counts import count_links
from chain_core.modeling.links.sizes import LEXICAL_WIDTH
from chain_core.modeling.reads import TOKEN_KINDS, choose_taps, find_layers_read, needs_positions, pools_pair

BYTES = 4
OPTIMISER_COPIES = 3
"""Beside each trainable parameter: its gradient and AdamW's two moments; Muon has one."""
PROCESS_BYTES = 1_200_000_000
"""Of a process that has loaded torch, transformers, the rows and a backbone to compute features with."""
FORWARD_SHARE = 0.35
"""Of a square matrix product's rate that a backbone's forward pass reaches."""
TRAINING_SHARE = 0.22
EASY_SHARE = 0.5
"""Of the rows, those that `train.prune` can leave out of an epoch, as ATIS has them in the mean of eight epochs."""
ORTHOGONAL_PASSES, ORTHOGONAL_SHARE = 9, 0.6
"""Muon's update of a matrix with R rows: about as many multiplications as 9 R positions that pass through it; and the
share of the machine's rate that these products reach."""
STEP_SECONDS = 0.006
"""What a step costs however small it is."""


@dataclass(frozen=True)
class Workload:
    """How much there is to read."""

    train: int
    """Rows."""
    others: int
    """Rows of validation and test together."""
    tokens: float
    """Mean length of a row, in tokens."""
    longest: int
    """Tokens of the longest row, cut at what the backbone reads."""


@dataclass(frozen=True)
class Part:
    """One box of the drawing and one row of the table."""

    kind: str
    """backbone, lexical, link or head."""
    name: str
    """The head's name, the link's kind, or the backbone's tuning."""
    position: int
    """Depth; 0 for the backbone and for heads on it."""
    parameters: int
    trainable: int
    width: int
    """Features that it gives: D, or K for a head."""


@dataclass(frozen=True)
class Plan:
    """A chain on paper."""

    taps: tuple[int, ...]
    num_layers: int
    hidden_size: int
    tuned_layers: int
    """Of the backbone, counted from the top."""
    pooled: bool
    """Whether links and heads see one vector a row instead of one a token."""
    parts: tuple[Part, ...]
    memory: int
    """Bytes while training."""
    disk: int
    """Bytes of cached features."""
    seconds: float | None
    """Of the whole run; None where the machine's rate or the rows are unknown."""
    densities: tuple[float, ...]
    """Of link 1 … depth."""

    @property
    def trainable(self) -> int:
        return sum(part.trainable for part in self.parts)

    @property
    def parameters(self) -> int:
        return sum(part.parameters for part in self.parts)


def compute_plan(
    config: Config,
    facts: BackboneFacts,
    shapes: BackboneShapes,
    classes: Mapping[str, int],
    workload: Workload | None = None,
    gflops: float | None = None,
) -> Plan:
    """The plan of a config. `classes`: head -> K (1 for regression); `gflops`: 1e9 operations a second.

    Raises ConfigError for a tap that the backbone does not have.
    """
    taps = choose_taps(config.chain, facts.num_layers)
    tuned = _count_tuned(config, facts)
    positions = needs_positions(config)
    parts = (_plan_backbone(config, facts, shapes, tuned), *_plan_chain(config, facts, shapes, classes, positions))
    layers = find_layers_read(config, facts.num_layers)
    below = facts.num_layers - tuned
    cached = {layer for layer in layers if layer <= below} | ({below} if tuned else set()) if below else set()
    if _reads_untouched(config):
        cached.update(layers)
    workload = workload or Workload(0, 0, 1.0, 1)
    rows = workload.train + workload.others
    disk = len(cached) * rows * (int(workload.tokens) if positions else 1) * facts.hidden_size * 2
    return Plan(
        taps, facts.num_layers, facts.hidden_size, tuned, not positions, parts,
        memory=disk + _estimate_memory(config, facts, parts, workload, tuned, positions),
        disk=disk,
        seconds=_estimate_seconds(config, facts, shapes, parts, workload, tuned, positions, gflops),
        densities=tuple(config.get_link(position).density for position in range(1, config.chain.depth + 1)),
    )  # fmt: skip


def _reads_untouched(config: Config) -> bool:
    """Whether the rows' states are cached in all layers though some of these are tuned later."""
    return any(stage.reads_rows for stage in config.find_untouched().values())


def _count_tuned(config: Config, facts: BackboneFacts) -> int:
    if config.backbone.tuning == "frozen":
        return 0
    return min(config.backbone.layers or facts.num_layers, facts.num_layers)


def _plan_backbone(config: Config, facts: BackboneFacts, shapes: BackboneShapes, tuned: int) -> Part:
    tuning, start = config.backbone.tuning, facts.num_layers - tuned
    added = trainable = shapes.count_added(start, config.backbone)
    if tuning == "norm":
        trainable = shapes.count_norms(start)
    elif tuning == "full":
        trainable = shapes.count_layers(start) + (0 if start else shapes.rest)
    return Part("backbone", tuning, 0, facts.parameters + added, trainable, facts.hidden_size)


def _plan_chain(
    config: Config, facts: BackboneFacts, shapes: BackboneShapes, classes: Mapping[str, int], positions: bool
) -> list[Part]:
    width, parts = config.chain.width, []
    if config.uses_lexical:
        number = LEXICAL_BUCKETS * LEXICAL_WIDTH + LEXICAL_WIDTH * width + width
        parts.append(Part("lexical", "lexical", 1, number, number, width))
    for position, count in enumerate(count_links(config, facts, shapes), start=1):
        kind = config.get_link(position).kind
        parts.append(Part("link", kind, position, count.parameters, count.trainable, width))
    for name in config.heads or {}:
        given = count_classes(config, facts, name, classes)
        for position, number in _count_outputs(config, facts, name, given, positions):
            parts.append(Part("head", name, position, number, number, given))
    return parts


def count_classes(config: Config, facts: BackboneFacts, name: str, classes: Mapping[str, int]) -> int:
    """K of a head: of its labels, or for a head that learns the texts themselves of what it chooses from."""
    kind = (config.heads or {})[name].kind
    if kind in TOKEN_KINDS:
        return facts.vocab_size
    return len(SENTENCE_LABELS) if kind == "next_sentence" else classes.get(name, 1)


def _count_outputs(
    config: Config, facts: BackboneFacts, name: str, classes: int, positions: bool
) -> Iterator[tuple[int, int]]:
    """(depth, parameters) of each output of a head; what its outputs share is counted with the first."""
    head = config.get_head(name, classes)
    width, hidden_size, depths = config.chain.width, facts.hidden_size, config.get_depths(name)
    joined = head.share or head.mixture
    for index, position in enumerate(config.get_outputs(name)):
        read = depths if joined else (position,)
        size = hidden_size if read == (0,) else width
        pair = pools_pair(config, name)
        number = count_head(size, classes, head, positions=positions, pair=pair, hidden_size=hidden_size)
        if 0 in read and size != hidden_size:
            number += 2 * hidden_size + hidden_size * width + width  # the bridge: norm, product
        if head.mixture and len(read) > 1:
            number += len(read) + 1  # a weight each, and the scale
        yield position, 0 if joined and index else number


def _estimate_memory(
    config: Config,
    facts: BackboneFacts,
    parts: tuple[Part, ...],
    workload: Workload,
    tuned: int,
    positions: bool,
) -> int:
    weights = BYTES * sum(part.parameters for part in parts)
    copies = OPTIMISER_COPIES + (1 if config.average else 0)
    optimiser = BYTES * copies * sum(part.trainable for part in parts)
    length = workload.longest if positions else 1
    tokens = config.train.get_batch_size(workload.train) * length
    # Kept for the way back: about two dozen states, the inner states three times, and the attention's weights.
    kept_by_layer = 24 * facts.hidden_size + 3 * facts.intermediate_size + 2 * length * facts.hidden_size // 32
    kept_by_link = 20 * config.chain.width + facts.hidden_size
    kinds = [config.get_link(position).kind for position in range(1, config.chain.depth + 1)]
    layers = tuned + kinds.count("backbone")
    activations = BYTES * tokens * (layers * kept_by_layer + len(kinds) * kept_by_link)
    return PROCESS_BYTES + weights + optimiser + activations


def _estimate_seconds(
    config: Config,
    facts: BackboneFacts,
    shapes: BackboneShapes,
    parts: tuple[Part, ...],
    workload: Workload,
    tuned: int,
    positions: bool,
    gflops: float | None,
) -> float | None:
    if not gflops or not workload.train:
        return None
    rows, below = workload.train + workload.others, len(shapes.layers) - tuned
    untouched, speed = config.find_untouched(), gflops * 1e9
    upper = shapes.count_layers(below)
    frozen = shapes.count_layers(0) - (0 if _reads_untouched(config) else upper)
    chain = sum(part.parameters for part in parts if part.kind == "head")
    chain += sum(link.used for link in count_links(config, facts, shapes))
    length = workload.tokens if positions else 1.0
    steps = -(-workload.train // config.train.get_batch_size(workload.train))
    step = STEP_SECONDS * (1 + config.chain.depth / 4)
    if config.train.optimiser == "muon":
        matrices = sum(part.trainable for part in parts if part.kind == "link")
        step += ORTHOGONAL_PASSES * 2.0 * config.chain.width * matrices / (speed * ORTHOGONAL_SHARE)
    seconds = 2.0 * frozen * rows * workload.tokens / (speed * FORWARD_SHARE)
    for number, stage in enumerate(config.get_stages(), start=1):
        asked = 0 if number in untouched else upper
        learning = 2.0 * (asked * _count_passes(config, stage) + chain * 3.0) * workload.train * length
        judging = 2.0 * (asked + chain) * workload.others * length
        epoch = learning / (speed * TRAINING_SHARE) + judging / (speed * FORWARD_SHARE)
        seconds += _count_whole_epochs(config, stage, steps) * (epoch + steps * step)
    return seconds


def _count_passes(config: Config, stage: StageConfig) -> float:
    """How many forward passes a step through the tuned layers takes: one, and the way back about two more, of which an
    adapter's skips the gradients of the weights."""
    if "backbone" not in stage.trains:
        return 1.0
    return 3.0 if config.backbone.tuning == "full" else 2.2


def _count_whole_epochs(config: Config, stage: StageConfig, steps: int) -> float:
    """A stage's epochs, each counted as the share of the rows that it shows."""
    assert stage.epochs is not None
    left_out = min(config.get_prune(stage.objective) * EASY_SHARE, max(1 - LEAST_BATCHES / steps, 0))
    return stage.epochs - left_out * (stage.epochs - 1)
