"""The config's sections: every key with its type, range, default and unit.

Widths are numbers of features, fractions are in [0, 1], lengths are in tokens.
"""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import BeforeValidator, Discriminator, Field, Tag

from chain_core.config.fields import MAX_DEPTH, Count, Depth, Float, Int, Name, Section, Share, Tie, name_switch

SelfSupervised = Literal["masked_lm", "causal_lm", "next_sentence"]
HeadKind = Literal["classification", "multilabel", "regression", "tagging", "span", "relation", SelfSupervised]
LinkKind = Literal["linear", "bottleneck", "attention", "conv", "backbone"]
Tuning = Literal["frozen", "lora", "rslora", "dora", "adalora", "ia3", "prefix", "norm", "full"]
HEAD_KINDS, LINK_KINDS, TUNINGS = get_args(HeadKind), get_args(LinkKind), get_args(Tuning)
SELF_SUPERVISED = get_args(SelfSupervised)
"""Kinds of heads that need no column: what they predict is made from the texts themselves."""
BATCH_SIZES, LEAST_STEPS = (64, 32, 16), 128
"""From which the batch size is chosen by the number of rows, and the steps that an epoch keeps under it."""
LEAST_BATCHES = 50
"""An epoch keeps about so many: where there are few, leaving rows out would save little and cost steps."""
LORA_TUNINGS = ("lora", "rslora", "dora", "adalora")
"""Tunings that add two factors to linear layers."""
POSITION_KINDS = ("tagging", "span", "relation", "masked_lm", "causal_lm")
"""Kinds of heads that read single positions; the others read a row's pooled vector."""


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
    tuning: Tuning = "frozen"
    """LoRA (Hu et al. 2021, arXiv 2106.09685), rsLoRA (Kalajdzievski 2023, arXiv 2312.03732), DoRA (Liu et al. 2024,
    arXiv 2402.09353), AdaLoRA (Zhang et al. 2023, arXiv 2303.10512), IA3 (Liu et al. 2022, arXiv 2205.05638), prefix
    tuning (Li and Liang 2021, arXiv 2101.00190), norm: only the layers' norms, full: every weight."""
    layers: Int | None = Field(default=None, ge=1)
    """Tune only the top N layers; null: all of them. Without meaning when frozen."""
    rank: Int = Field(default=16, ge=1, le=512)
    """Of LoRA's two factors; AdaLoRA begins with it."""
    final_rank: Int | None = Field(default=None, ge=1, le=512)
    """The mean rank that AdaLoRA prunes down to; null: half of `rank`."""
    alpha: Float = Field(default=32.0, gt=0)
    """LoRA's scale: its product is multiplied by alpha / rank, for rsLoRA by alpha / sqrt(rank)."""
    prefix_length: Int = Field(default=16, ge=1, le=256)
    """Learned positions in front of each tuned layer's keys and values, for prefix tuning."""
    dropout: Float = Field(default=0.05, ge=0, lt=1)
    """On LoRA's input."""
    targets: Literal["all-linear"] | tuple[str, ...] = "all-linear"
    """Names of the linear layers that LoRA wraps."""


class LinkConfig(Section):
    """One link: z_k = x_k + f_k(x_k), where x_k joins the last state and the link's tap."""

    kind: Literal["auto", LinkKind] = "auto"
    """auto: where heads tag, conv with attention as the last link; where other heads work on positions, or links are
    tied or begin from the backbone, attention; else bottleneck, which works on pooled vectors, in moments."""
    density: Share = 1.0
    """Inner width, or of linear and backbone links the parameters, as a fraction of the full link's."""
    dropout: Float = Field(default=0.0, ge=0, lt=1)
    kernel: Int = Field(default=5, ge=1, le=31)
    """Positions that a conv link looks at; odd."""
    init: Literal["identity", "random", "backbone"] = "identity"
    """backbone: from the weights of the layer that the link taps."""
    tie: Tie | None = None
    """Share f_k with an earlier link (its position), or be the tapped backbone layer itself."""
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
    densities: Annotated[
        Annotated[Literal["constant", "growing", "shrinking"], Tag("word")] | Annotated[tuple[Share, ...], Tag("each")],
        Discriminator(lambda value: "each" if isinstance(value, list | tuple) else "word"),
    ] = "constant"
    """How the links' densities relate: each link's own density is multiplied by its share of this course."""
    budget: Count | None = None
    """Parameters of all links together, projections of taps included; null: as the densities give."""
    lexical: Annotated[Literal["auto", "on", "off"], BeforeValidator(name_switch)] = "auto"
    """Join word shapes and affixes to link 1; auto: where a head tags."""


class HeadConfig(Section):
    """One task's output module and loss, at one or several depths."""

    kind: HeadKind
    column: str = ""
    """What it predicts; none for the three self-supervised kinds."""
    data: str | None = None
    """The entry of `also` whose rows have the column; null: those of `data`."""
    depths: tuple[Depth, ...] = Field(default=("last",), min_length=1)
    """Positions in the chain, 0 (the backbone) … depth; `last` is the chain's depth."""
    weight: Float = Field(default=1.0, ge=0)
    depth_weights: tuple[Annotated[Float, Field(ge=0)], ...] | None = None
    """One for each entry of `depths`; null: 1 each."""
    share: bool = False
    """One head object for all its depths, instead of one each."""
    mixture: bool = False
    """One output, from a learned mixture of the states at its depths (Peters et al. 2018, arXiv 1802.05365)."""
    pooling: Literal["auto", "row", "pair"] = "auto"
    """pair: pool each text of a pair by itself and compare them; auto: where there is a pair (but for relations)."""
    crf: Annotated[Literal["auto", "on", "off"], BeforeValidator(name_switch)] = "auto"
    """Tagging: learn which tag follows which (Lample et al. 2016, arXiv 1603.01360); auto: where the whole backbone is
    tuned, see `Config.get_head`."""
    start: str | None = None
    """Span: a column with the answer's first character; null: where the answer first stands in the text."""
    spans: tuple[str, str] | None = None
    """Relation: two columns with [first, last + 1] of words (tokens) or characters (text); null: <e1>…</e1> and
    <e2>…</e2> in the text."""
    class_weights: Literal["none", "balanced"] = "none"
    focal: Float = Field(default=0.0, ge=0, le=10)
    """Exponent by which sure examples count less (Lin et al. 2017, arXiv 1708.02002); 0: plain cross-entropy."""
    label_smoothing: Float = Field(default=0.0, ge=0, lt=1)
    threshold: Literal["fixed", "tuned"] = "fixed"
    """tuned: how readily entities or labels are answered is chosen on the validation rows after training (Minkov et al.
    2006 for tags; Lipton et al. 2014, arXiv 1402.1892, for labels)."""
    dropout: Float = Field(default=0.1, ge=0, lt=1)
    separator: str | None = Field(default=None, min_length=1, max_length=3)
    """Between the labels of one multilabel cell; null: found from the cells."""


class TrainConfig(Section):
    """The loop."""

    epochs: Int = Field(default=8, ge=1, le=10_000)
    batch_size: Int | None = Field(default=None, ge=1, le=4096)
    """Rows of one step; null: by the number of rows, see `get_batch_size`."""
    optimiser: Literal["adamw", "muon"] = "muon"
    """muon: the links' matrices, with those of their taps' projections, learn by Muon (Jordan et al. 2024), all other
    parameters by AdamW."""
    learning_rate: Float = Field(default=1e-3, gt=0, le=10)
    """Of links and heads, at the end of the warm-up."""
    backbone_learning_rate: Float = Field(default=5e-4, gt=0, le=10)
    """Of the backbone's tuned parameters."""
    weight_decay: Float = Field(default=0.01, ge=0, le=10)
    warmup: Float = Field(default=0.1, ge=0, le=1)
    """Fraction of each stage's steps in which the learning rate rises from 0."""
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    clip: Float | None = Field(default=1.0, gt=0)
    """Largest norm of the gradient; null: no clipping."""
    loss_weights: Literal["fixed", "uncertainty"] = "fixed"
    """uncertainty: learned beside the heads' own weights (Kendall et al. 2018, arXiv 1705.07115)."""
    sampling: Literal["proportional", "uniform", "temperature"] = "proportional"
    """How often a batch is drawn from each group of rows that bear the same heads' labels."""
    temperature: Float = Field(default=2.0, ge=1, le=100)
    """Of `temperature` sampling: a group of n rows is drawn in proportion to n ** (1 / temperature)."""
    l2_sp: Float = Field(default=0.0, ge=0, le=10)
    """Strength of the pull towards the pretrained weights (Li et al. 2018, arXiv 1802.01483)."""
    r_drop: Float = Field(default=0.0, ge=0, le=100)
    """Strength of the agreement of two passes (Liang et al. 2021, arXiv 2106.14448)."""
    adversarial: Float = Field(default=0.0, ge=0, le=100)
    """Length of a row's perturbation along its gradient (FGM, Miyato et al. 2017, arXiv 1605.07725)."""
    patience: Int | None = Field(default=None, ge=1)
    """Stop after this many epochs without a better `metric`; null: never early."""
    prune: Float = Field(default=0.0, ge=0, lt=1)
    """From the second epoch on, the probability with which a row is left out whose error was below the mean when it
    was last seen (Qin et al. 2024, arXiv 2303.04947); 0: every epoch shows all rows."""
    average: Float = Field(default=0.0, ge=0, le=1)
    """The share of a stage's steps so far, the latest, over which the weights are averaged that are judged and kept
    (Shamir & Zhang 2013, arXiv 1212.1824); 0: those of the last step."""
    metric: str = "mean"
    """What selects the best weights: `head/metric`, as `slots/entity_f1`, or `mean` of each head's first."""
    accumulate: Int = Field(default=1, ge=1, le=4096)
    """Parts that each batch is cut into to save memory; the gradient is that of the whole batch."""
    checkpoint_minutes: Float | None = Field(default=5.0, gt=0, le=10_000)
    """How often all that the run needs to go on is written to disk; null: not by time."""
    checkpoint_steps: Int | None = Field(default=None, ge=1)
    """The same by steps; null: not by steps."""
    trackers: tuple[Literal["tensorboard", "wandb", "mlflow"], ...] = ()
    """Programs that get the curves as well."""
    shard: Annotated[Literal["auto", "on", "off"], BeforeValidator(name_switch)] = "auto"
    """Whether several processes share a tuned backbone's layers out; auto: where they would take more than a third of
    a device's memory. Without meaning where one process trains."""
    seed: Int = Field(default=0, ge=0, lt=2**32)
    device: str = Field(default="auto", pattern=r"^(auto|cpu|cuda(:\d+)?|mps)$")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"

    def get_batch_size(self, rows: int) -> int:
        """Of a stage that trains on so many rows. Left open, the largest of BATCH_SIZES with which an epoch has
        LEAST_STEPS, or the smallest: few rows must be seen in small batches to be learnt in a few epochs."""
        fitting = (size for size in BATCH_SIZES if rows >= size * LEAST_STEPS)
        return self.batch_size or next(fitting, BATCH_SIZES[-1])


class SetConfig(Section):
    """A further data set on the same chain."""

    data: DataConfig
    input: InputConfig = InputConfig()


Code = Annotated[str, Field(min_length=1, max_length=40)]
Prefix = Annotated[str, Field(max_length=200)]


class AugmentConfig(Section):
    """Changed copies of the train rows. Tags move along with their tokens."""

    copies: Int = Field(default=0, ge=0, le=100)
    """Of each train row."""
    delete: Float = Field(default=0.1, ge=0, le=1)
    """Probability that a word goes."""
    swap: Float = Field(default=0.1, ge=0, le=1)
    """Probability that a word changes places with the next."""
    replace: Float = Field(default=0.1, ge=0, le=1)
    """Probability that a word is replaced by a neighbour or a synonym."""
    neighbours: Int = Field(default=10, ge=1, le=1000)
    """Of a word among the backbone's own input embeddings, from which a replacement is drawn."""
    synonyms: str | None = None
    """A file of words that may stand for each other, one comma-separated group a line; null: neighbours."""
    back_translation: tuple[str, str] | None = None
    """Two folders of sequence-to-sequence models, there and back; the first copy of each row is made with them."""
    languages: tuple[Code, Code] | None = None
    """For models of many languages: the codes, as the models have them, of the texts' language and of the other one."""
    prefixes: tuple[Prefix, Prefix] | None = None
    """For models of many tasks: the words before a text that ask for its translation, there and back."""


class StageConfig(Section):
    """One phase of training. What is null is as in `train`, `data` and `chain`."""

    name: str | None = Field(default=None, min_length=1, max_length=60)
    objective: Literal["tasks", SelfSupervised] = "tasks"
    data: str | None = None
    """Unlabelled rows of a self-supervised objective; null: the train rows."""
    heads: tuple[Name, ...] | None = Field(default=None, min_length=1)
    """Those that learn in a stage of tasks, from the rows that bear their labels; null: all."""
    epochs: Int = Field(default=1, ge=1, le=10_000)
    depth: Int | None = Field(default=None, ge=0, le=MAX_DEPTH)
    """Links in use, the first of the chain; more than in the stage before: the chain grows."""
    trains: tuple[Literal["links", "heads", "backbone"], ...] = Field(
        default=("links", "heads", "backbone"), min_length=1
    )
    learning_rate: Float | None = Field(default=None, gt=0, le=10)
    backbone_learning_rate: Float | None = Field(default=None, gt=0, le=10)
    mask: Float = Field(default=0.15, gt=0, lt=1)
    """Fraction of the tokens that masked language modelling hides (Devlin et al. 2019, arXiv 1810.04805)."""

    @property
    def reads_rows(self) -> bool:
        """Whether it reads the run's rows as they are."""
        return self.objective == "tasks" or (self.objective == "causal_lm" and self.data is None)


class StartConfig(Section):
    """A trained run whose chain this one starts from. Heads that match are kept."""

    run: str = Field(min_length=1)
    """The run's folder, relative to the YAML file, or its id."""
    l2: Float = Field(default=0.0, ge=0, le=10)
    """Strength of the pull towards the old run's weights."""
    replay: Float = Field(default=0.0, ge=0, le=1)
    """Fraction of the old run's train rows that train along, with the old heads' labels."""
