"""What a run is asked to do: frozen values, read from YAML and written back complete.

`resolve_config` turns a user's mapping into a `Config`: the preset's values first, the user's over them, the
defaults below for the rest. Everything that is wrong is found here, with the path of its key
(`chain.links[2].density`); what needs the data or the backbone to judge is found by `services.checks`.
Widths are numbers of features, fractions are in [0, 1], lengths are in tokens.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, ValidationError

from chain_core.errors import ConfigError
from chain_core.presets import PRESETS
from chain_core.registry import nearest

MAX_DEPTH = 12
MAX_YAML_BYTES = 1_000_000
HEAD_KINDS = ("classification", "multilabel", "regression", "tagging")
LINK_KINDS = ("linear", "bottleneck", "attention")


def _refuse_no_number(value: Any) -> Any:
    if isinstance(value, bool) or value != value:
        raise ValueError("not_a_number")
    return value


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
    lexical: Literal["auto", "on", "off"] = "auto"
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


def resolve_config(mapping: Mapping[str, Any]) -> Config:
    """A complete config from a user's mapping. Raises the first ConfigError of `find_problems`."""
    problems, config = _validate(mapping)
    if config is None:
        raise problems[0]
    return config


def find_problems(mapping: Mapping[str, Any]) -> list[ConfigError]:
    """Everything that is wrong with a mapping by itself, in the order of its keys."""
    return _validate(mapping)[0]


def load_yaml(text: str) -> dict[str, Any]:
    """A mapping from YAML text. Raises ConfigError for broken YAML, a key given twice, or no mapping."""
    if len(text.encode("utf-8", "ignore")) > MAX_YAML_BYTES:
        raise ConfigError("yaml_too_large", limit=MAX_YAML_BYTES)
    try:
        mapping = yaml.load(text, Loader=_UniqueKeyLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        reason = getattr(error, "problem", None) or "not readable"
        raise ConfigError("yaml_broken", line=mark.line + 1 if mark else 1, reason=reason) from None
    except (RecursionError, ValueError) as error:
        raise ConfigError("yaml_broken", line=1, reason=type(error).__name__) from None
    if not isinstance(mapping, dict):
        raise ConfigError("yaml_no_mapping")
    return mapping


def dump_yaml(config: Config) -> str:
    """The complete config as YAML: reading it back gives an equal config."""
    return dump_mapping(config.model_dump(mode="json"))


def dump_mapping(mapping: Mapping[str, Any]) -> str:
    """Any plain mapping as YAML, its keys in their order."""
    return yaml.dump(dict(mapping), Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def apply_overrides(mapping: Mapping[str, Any], overrides: list[str]) -> dict[str, Any]:
    """`["train.epochs=3", "chain.links[0].density=0.5"]` over a mapping; the values are read as YAML."""
    merged = copy.deepcopy(dict(mapping))
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or not key.strip():
            raise ConfigError("override_form", override=override)
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError:
            raise ConfigError("override_form", override=override) from None
        _set_path(merged, key.strip(), value)
    return merged


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` laid on `base`, mapping by mapping; anything else replaces."""
    merged = dict(base)
    for key, value in over.items():
        if isinstance(value, Mapping) and isinstance(merged.get(key), Mapping):
            merged[key] = merge(merged[key], value)
        else:
            merged[key] = merge({}, value) if isinstance(value, Mapping) else value
    return merged


class _UniqueKeyLoader(yaml.SafeLoader):
    """PyYAML's safe loader, which lets the last of two equal keys win, made to refuse them."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, str) and key in seen:
                raise yaml.MarkedYAMLError(problem=f"key {key!r} stands twice", problem_mark=key_node.start_mark)
            if isinstance(key, str):
                seen.add(key)
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """PyYAML's safe dumper, which writes some characters so that they do not read back, made to escape them."""


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = '"' if any(not character.isprintable() for character in text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)


def _set_path(mapping: dict[str, Any], path: str, value: Any) -> None:
    """Set one value of a mapping, making the mappings on the way that are missing."""
    parts = path.replace("[", ".").replace("]", "").split(".")
    target: Any = mapping
    for here, after in pairwise(parts):
        key: Any = _index(here, target, path) if isinstance(target, list) else here
        inner = target[key] if isinstance(target, list) else target.get(key)
        if after.isdecimal() and not isinstance(inner, dict | list):
            inner = []
        elif not isinstance(inner, dict | list):
            inner = {}
        target[key] = inner
        target = inner
    last: Any = _index(parts[-1], target, path) if isinstance(target, list) else parts[-1]
    target[last] = value


def _index(part: str, items: list[Any], path: str) -> int:
    if not part.isdecimal() or int(part) >= len(items):
        raise ConfigError("override_index", path=path, index=part, length=len(items))
    return int(part)


def _validate(mapping: Mapping[str, Any]) -> tuple[list[ConfigError], Config | None]:
    preset = mapping.get("preset", "fast")
    base = PRESETS.get(preset, {}) if isinstance(preset, str) else {}
    merged = merge(base, {key: value for key, value in mapping.items() if value is not None or key == "heads"})
    try:
        config = Config.model_validate(merged)
    except ValidationError as error:
        found = [_explain(detail) for detail in error.errors(include_url=False)]
        # A union reports each of its members: the last, widest one speaks for the key. A list that lost its bad
        # entries reports that it is too short as well.
        by_path = {problem.path: problem for problem in found}
        told = [problem for problem in by_path.values() if not _is_echo(problem, by_path)]
        return told, None
    problems = list(_check_chain(config)) + list(_check_heads(config))
    return problems, (None if problems else config)


def _is_echo(problem: ConfigError, by_path: Mapping[str, ConfigError]) -> bool:
    return problem.code == "too_short" and any(path.startswith(f"{problem.path}[") for path in by_path)


def _check_chain(config: Config) -> Iterator[ConfigError]:
    chain = config.chain
    if isinstance(chain.links, tuple) and len(chain.links) != chain.depth:
        yield ConfigError("links_length", path="chain.links", given=len(chain.links), depth=chain.depth)
    if chain.taps is not None and len(chain.taps) != chain.depth:
        yield ConfigError("taps_length", path="chain.taps", given=len(chain.taps), depth=chain.depth)
    columns = config.input
    if columns.tokens and (columns.text or columns.pair):
        yield ConfigError("input_both", path="input")
    if columns.pair and not columns.text:
        yield ConfigError("input_pair_alone", path="input.pair")
    for key in ("validation", "test"):
        fraction = getattr(config.data, key)
        if isinstance(fraction, float) and not 0 < fraction < 1:
            yield ConfigError("fraction", path=f"data.{key}", given=fraction)
    fractions = [value for value in (config.data.validation, config.data.test) if isinstance(value, float)]
    if len(fractions) == 2 and sum(fractions) >= 1:
        yield ConfigError("fractions_sum", path="data.test", given=sum(fractions))


def _check_heads(config: Config) -> Iterator[ConfigError]:
    if config.heads is None:
        return
    if not config.heads:
        yield ConfigError("no_heads", path="heads")
    for name, head in config.heads.items():
        path = f"heads.{name}"
        for index, depth in enumerate(head.depths):
            if depth != "last" and depth > config.chain.depth:
                yield ConfigError("depth_beyond", path=f"{path}.depths[{index}]", given=depth, depth=config.chain.depth)
        positions = [config.chain.depth if depth == "last" else depth for depth in head.depths]
        if len(set(positions)) != len(positions):
            yield ConfigError("depths_twice", path=f"{path}.depths")
        if head.depth_weights is not None and len(head.depth_weights) != len(head.depths):
            yield ConfigError("depth_weights_length", path=f"{path}.depth_weights")
        if name == "joint":
            yield ConfigError("head_name_joint", path=path)
        if head.kind == "tagging" and not config.input.tokens and config.input.text:
            yield ConfigError("tagging_needs_tokens", path=f"{path}.kind")
    if config.heads and all(head.weight == 0 for head in config.heads.values()):
        yield ConfigError("weights_all_zero", path="heads")
    metric_head = config.train.metric.partition("/")[0]
    if config.train.metric != "mean" and metric_head not in {*config.heads, "joint"}:
        known = ", ".join(["mean", *config.heads])
        yield ConfigError("metric_unknown", path="train.metric", given=config.train.metric, known=known)


_TAGS = {"one", "each", "word", "number", "str", "float", "int"}
_TAG_PREFIXES = ("literal[", "tuple[", "function-", "constrained-")


def _format_path(location: tuple[Any, ...]) -> str:
    """`("chain", "links", "each", 2, "density")` -> `chain.links[2].density`, without pydantic's words."""
    path = ""
    for index, part in enumerate(location):
        named_by_user = index == 0 or location[:index] == ("heads",)
        if isinstance(part, int):
            path += f"[{part}]"
        elif named_by_user or not (part in _TAGS or str(part).startswith(_TAG_PREFIXES)):
            path += f".{part}" if path else str(part)
    return path.removesuffix(".[key]")


def _explain(detail: Any) -> ConfigError:
    """One of pydantic's findings in this project's words."""
    kind, context = detail["type"], detail.get("ctx", {})
    location = detail["loc"]
    path = _format_path(location)
    given = _shorten(detail.get("input"))
    if kind == "extra_forbidden":
        known = _known_keys(location)
        close = nearest(str(location[-1]), known)
        code = "unknown_key" if close else "unknown_key_list"
        return ConfigError(code, path=path, nearest=close, known=", ".join(known))
    if kind == "missing":
        return ConfigError("missing_key", path=path)
    if kind == "literal_error":
        known = [word.strip(" '") for word in context["expected"].replace(" or ", ", ").split(",")]
        close = nearest(str(detail.get("input")), known)
        code = "not_one_of_nearest" if close else "not_one_of"
        return ConfigError(code, path=path, given=given, known=", ".join(known), nearest=close)
    if kind in _BOUNDS:
        code, key = _BOUNDS[kind]
        return ConfigError(code, path=path, given=given, limit=context[key])
    if kind == "string_pattern_mismatch" and "heads" in location:
        return ConfigError("head_name", path=path, given=given)
    return ConfigError(_WRONG_TYPES.get(kind, "invalid"), path=path, given=given)


_BOUNDS = {
    "greater_than": ("must_exceed", "gt"),
    "greater_than_equal": ("must_be_at_least", "ge"),
    "less_than": ("must_be_below", "lt"),
    "less_than_equal": ("must_be_at_most", "le"),
    "string_too_long": ("too_long", "max_length"),
    "string_too_short": ("too_short", "min_length"),
    "too_short": ("too_short", "min_length"),
}
_WRONG_TYPES = {
    "int_parsing": "not_integer", "int_type": "not_integer", "int_from_float": "not_integer",
    "float_parsing": "not_number", "float_type": "not_number", "finite_number": "not_number",
    "value_error": "not_number",
    "bool_parsing": "not_bool", "bool_type": "not_bool",
    "string_type": "not_text",
    "model_type": "not_mapping", "dict_type": "not_mapping", "model_attributes_type": "not_mapping",
    "tuple_type": "not_list", "list_type": "not_list",
}  # fmt: skip


def _shorten(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "…"


def _known_keys(location: tuple[Any, ...]) -> list[str]:
    sections: dict[str, type[Section]] = {
        "data": DataConfig, "input": InputConfig, "backbone": BackboneConfig,
        "chain": ChainConfig, "links": LinkConfig, "heads": HeadConfig, "train": TrainConfig,
    }  # fmt: skip
    section: type[Section] = Config
    for index, part in enumerate(location[:-1]):
        named_by_user = location[:index] == ("heads",)
        if isinstance(part, str) and not named_by_user:
            section = sections.get(part, section)
    return list(section.model_fields)
