"""The config's sections: every key with its type, range, default and unit.

Widths are numbers of features, fractions are in [0, 1], lengths are in tokens.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag

MAX_DEPTH = 12
HEAD_KINDS = ("classification", "multilabel", "regression", "tagging")
LINK_KINDS = ("linear", "bottleneck", "attention")


def _refuse_no_number(value: Any) -> Any:
    if isinstance(value, bool) or value != value:
        raise ValueError("not_a_number")
    return value


def _name_switch(value: Any) -> Any:
    """YAML 1.1 reads a bare `on` or `off` as a truth value."""
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else value


Int = Annotated[int, BeforeValidator(_refuse_no_number)]
Float = Annotated[float, BeforeValidator(_refuse_no_number), Field(allow_inf_nan=False)]
Depth = Annotated[
    Annotated[Literal["last"], Tag("word")] | Annotated[Int, Field(ge=0, le=MAX_DEPTH), Tag("number")],
    Discriminator(lambda value: "word" if isinstance(value, str) else "number"),
]


class Section(BaseModel):
    """A part of the config: cannot change, knows no extra keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class DataConfig(Section):
    """Where the rows come from. A source is a path relative to the YAML file, or a stored data set's name."""

    train: str = Field(min_length=1)
    validation: str | Float = 0.1
    """A source, or the fraction of the train rows that is set aside, stratified over all tasks."""
    test: str | Float | None = None
    """A source, a fraction as above, or null for no test rows."""
    split: str | None = None
    """A column that names each row's split; where given, fractions in `validation` and `test` are unused."""
    split_seed: Int = Field(default=0, ge=0)
    encoding: str | None = None
    """Of text files; null: found from the bytes."""
    delimiter: str | None = Field(default=None, min_length=1, max_length=1)
    """Of CSV and TSV files; null: found from the bytes."""


class InputConfig(Section):
    """Which columns the backbone reads: `text`, `text` with `pair`, or `tokens` (already split)."""

    text: str | None = None
    pair: str | None = None
    tokens: str | None = None
    max_length: Int | None = Field(default=None, ge=4, le=8192)
    """Longest input in tokens, special ones included; null: what the backbone was made for."""


class BackboneConfig(Section):
    """The pretrained model: a packaged name, a local folder, or a hub id; and how it is tuned."""

    name: str = Field(default="minilm-l6", min_length=1)
    tuning: Literal["frozen", "lora", "full"] = "frozen"
    layers: Int | None = Field(default=None, ge=1)
    """Tune only the top N layers; null: all of them. Without meaning when frozen."""
    rank: Int = Field(default=16, ge=1, le=512)
    """Of LoRA's two factors (Hu et al. 2021, arXiv 2106.09685)."""
    alpha: Float = Field(default=32.0, gt=0)
    """LoRA's scale: its product is multiplied by alpha / rank."""
    dropout: Float = Field(default=0.05, ge=0, lt=1)
    """On LoRA's input."""
    targets: Literal["all-linear"] | tuple[str, ...] = "all-linear"
    """Names of the linear layers that LoRA wraps."""


class LinkConfig(Section):
    """One link: z_k = x_k + f_k(x_k), where x_k joins the last state and the link's tap."""

    kind: Literal["auto", "linear", "bottleneck", "attention"] = "auto"
    """auto: attention where a head tags, else bottleneck: it works on pooled vectors, in moments."""
    density: Float = Field(default=1.0, gt=0, le=1)
    """Inner width as a fraction of the full one."""
    dropout: Float = Field(default=0.1, ge=0, lt=1)
    init: Literal["identity", "random"] = "identity"
    strategy: Literal["train", "freeze"] = "train"
    detach: bool = False
    """Stop the gradient from flowing on to earlier links."""


class ChainConfig(Section):
    """The links between the backbone and the heads."""

    depth: Int = Field(default=3, ge=0, le=MAX_DEPTH)
    width: Int = Field(default=256, ge=8, le=4096)
    taps: tuple[Annotated[Int, Field(ge=0)], ...] | None = None
    """The backbone layer each link reads (0: the embeddings); null: evenly spaced, ending at the last."""
    links: Annotated[
        Annotated[LinkConfig, Tag("one")] | Annotated[tuple[LinkConfig, ...], Tag("each")],
        Discriminator(lambda value: "each" if isinstance(value, list | tuple) else "one"),
    ] = LinkConfig()
    lexical: Annotated[Literal["auto", "on", "off"], BeforeValidator(_name_switch)] = "auto"
    """Join word shapes and affixes to link 1; auto: where a head tags."""


class HeadConfig(Section):
    """One task's output module and loss, at one or several depths."""

    kind: Literal["classification", "multilabel", "regression", "tagging"]
    column: str = Field(min_length=1)
    depths: tuple[Depth, ...] = Field(default=("last",), min_length=1)
    """Positions in the chain, 0 (the backbone) … depth; `last` is the chain's depth."""
    weight: Float = Field(default=1.0, ge=0)
    depth_weights: tuple[Annotated[Float, Field(ge=0)], ...] | None = None
    """One for each entry of `depths`; null: 1 each."""
    class_weights: Literal["none", "balanced"] = "none"
    label_smoothing: Float = Field(default=0.0, ge=0, lt=1)
    dropout: Float = Field(default=0.1, ge=0, lt=1)
    separator: str | None = Field(default=None, min_length=1, max_length=3)
    """Between the labels of one multilabel cell; null: found from the cells."""


class TrainConfig(Section):
    """The loop."""

    epochs: Int = Field(default=10, ge=1, le=10_000)
    batch_size: Int = Field(default=64, ge=1, le=4096)
    learning_rate: Float = Field(default=1e-3, gt=0, le=10)
    """Of links and heads, at the end of the warm-up (AdamW)."""
    backbone_learning_rate: Float = Field(default=5e-4, gt=0, le=10)
    """Of the backbone's tuned parameters."""
    weight_decay: Float = Field(default=0.01, ge=0, le=10)
    warmup: Float = Field(default=0.1, ge=0, le=1)
    """Fraction of all steps in which the learning rate rises from 0."""
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    clip: Float | None = Field(default=1.0, gt=0)
    """Largest norm of the gradient; null: no clipping."""
    patience: Int | None = Field(default=None, ge=1)
    """Stop after this many epochs without a better `metric`; null: never early."""
    metric: str = "mean"
    """What selects the best weights: `head/metric`, as `slots/entity_f1`, or `mean` of each head's first."""
    seed: Int = Field(default=0, ge=0, lt=2**32)
    device: str = Field(default="auto", pattern=r"^(auto|cpu|cuda(:\d+)?|mps)$")
    precision: Literal["auto", "fp32", "bf16"] = "auto"


class Config(Section):
    """A whole run, as the YAML file gives it."""

    name: str = Field(default="chain", min_length=1, max_length=120)
    preset: Literal["fast", "balanced", "thorough"] = "fast"
    data: DataConfig
    input: InputConfig = InputConfig()
    backbone: BackboneConfig = BackboneConfig()
    chain: ChainConfig = ChainConfig()
    heads: dict[Annotated[str, Field(pattern=r"^[^\s/@:|]{1,64}$")], HeadConfig] | None = None
    """Name -> head; null: inferred from the columns."""
    train: TrainConfig = TrainConfig()

    def get_link(self, position: int) -> LinkConfig:
        """The link at `position`, 1 … depth, its kind resolved."""
        links = self.chain.links
        link = links[position - 1] if isinstance(links, tuple) else links
        if link.kind != "auto":
            return link
        tagging = any(head.kind == "tagging" for head in (self.heads or {}).values())
        return link.model_copy(update={"kind": "attention" if tagging else "bottleneck"})

    def get_depths(self, head: str) -> tuple[int, ...]:
        """The positions of one head as numbers, ascending, `last` resolved."""
        depths = (self.heads or {})[head].depths
        return tuple(sorted({self.chain.depth if depth == "last" else depth for depth in depths}))

    def get_depth_weights(self, head: str) -> dict[int, float]:
        """Position -> v_d of one head."""
        config = (self.heads or {})[head]
        weights = config.depth_weights or (1.0,) * len(config.depths)
        return {
            self.chain.depth if depth == "last" else depth: weight
            for depth, weight in zip(config.depths, weights, strict=True)
        }

    @property
    def uses_lexical(self) -> bool:
        """Whether link 1 reads word shapes and affixes."""
        if self.chain.lexical == "auto":
            tagging = any(head.kind == "tagging" for head in (self.heads or {}).values())
            return tagging and self.chain.depth > 0
        return self.chain.lexical == "on" and self.chain.depth > 0
