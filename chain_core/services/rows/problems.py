"""What a valid config asks of its backbone, its columns and its files that they do not have.

One rule for the command line, sweeps and the screens: all of it is asked before a run exists, and without torch.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from chain_core.config import LORA_TUNINGS, SELF_SUPERVISED, Config, DataConfig
from chain_core.data.synonyms import read_synonyms
from chain_core.data.text import get_column
from chain_core.data.unlabelled import check_source
from chain_core.errors import BackboneError, ChainError, ConfigError, DataError, explain_failure
from chain_core.modeling.backbones.catalogue import BackboneFacts
from chain_core.modeling.backbones.objectives import find_objective_problems
from chain_core.modeling.backbones.reach import is_reached
from chain_core.modeling.backbones.shapes import BackboneShapes
from chain_core.modeling.backbones.translators import build_routes, check_translator
from chain_core.modeling.links.families import find_names
from chain_core.paths import place_path
from chain_core.services.rows.sets import list_heads
from chain_core.services.rows.starting import find_start_problems

Problems = Iterator["Problem"]
Open = Callable[[DataConfig], pa.Table]
"""A data config -> its rows. Raises ChainError and OSError."""


@dataclass(frozen=True)
class Problem:
    """Something that keeps a draft from training."""

    path: str
    """The key it belongs to, such as `heads.intent`; "" where it belongs to none."""
    error: ChainError


def check_config(
    config: Config,
    tables: Mapping[str, pa.Table],
    facts: BackboneFacts | None,
    shapes: BackboneShapes | None,
    folder: Path,
    open_table: Open,
) -> Problems:
    """Everything that a complete config asks for in vain, in the order of its keys.

    `tables`: entry of `also` ("" for `data`) -> its rows; `facts`, `shapes`: None where not known; `folder`: what
    relative paths are relative to.
    """
    yield from check_backbone(config, facts, shapes)
    for name, table in tables.items():
        yield from place(check_columns(view_set(config, name), table), name)
    yield from check_files(config, folder, open_table)
    if config.start is not None and facts is not None:
        for error in find_start_problems(config, facts, shapes, folder):
            yield Problem(str(error.params.get("path") or error.params["place"]), error)


def view_set(config: Config, name: str) -> Config:
    """The config as one data set sees it: its rows, its input columns, the heads that learn from its columns."""
    part = config.get_sets()[name]
    return config.model_copy(update={"data": part.data, "input": part.input, "heads": list_heads(config, name)})


def place(problems: Iterable[Problem], name: str) -> Problems:
    """Problems of one data set's view, at the keys of the config, which their sentences name."""
    for problem in problems:
        inside = name and not problem.path.startswith("heads")
        path = f"also.{name}.{problem.path}" if inside else problem.path
        yield Problem(path, problem.error.at(path))


def check_backbone(config: Config, facts: BackboneFacts | None, shapes: BackboneShapes | None) -> Problems:
    """Layers that the backbone has not, a tuning that cannot reach into it, more tokens than it reads."""
    if facts is None:
        return
    for index, tap in enumerate(config.chain.taps or ()):
        if tap > facts.num_layers:
            path = f"chain.taps[{index}]"
            yield build_problem("tap_beyond", path, given=tap, limit=facts.num_layers)
    backbone = config.backbone
    if backbone.tuning != "frozen" and (backbone.layers or 0) > facts.num_layers:
        path = "backbone.layers"
        yield build_problem("must_be_at_most", path, given=backbone.layers, limit=facts.num_layers)
    elif shapes is not None:
        yield from _check_tuning(config, facts, shapes)
    if shapes is not None and _begins_from_layers(config):
        modules = {name.removesuffix(".weight") for name in shapes.layers[0]}
        if find_names(modules) is None:
            yield build_problem("init_backbone_family", "chain.links", model_type=facts.model_type)
    for error in find_objective_problems(config, facts):
        yield Problem(error.path, error)
    for name, part in config.get_sets().items():
        length = part.input.max_length
        if length is not None and length > facts.max_length:
            path = f"also.{name}.input.max_length" if name else "input.max_length"
            yield build_problem("must_be_at_most", path, given=length, limit=facts.max_length)


def _check_tuning(config: Config, facts: BackboneFacts, shapes: BackboneShapes) -> Problems:
    """LoRA finds no layer of the names given; IA3 or prefixes know no way into this family."""
    backbone = config.backbone
    if backbone.tuning in LORA_TUNINGS and not isinstance(backbone.targets, str):
        known = shapes.find_target_names()
        if not shapes.count_lora(0, backbone):
            given, path = ", ".join(backbone.targets), "backbone.targets"
            yield build_problem("lora_targets", path, given=given, known=", ".join(known))
    start = 0 if backbone.layers is None else facts.num_layers - backbone.layers
    if not is_reached(backbone.tuning, facts.model_type, shapes, start):
        error = BackboneError("tuning_unsupported", tuning=backbone.tuning, model_type=facts.model_type)
        yield Problem("backbone.tuning", error.at("backbone.tuning"))


def _begins_from_layers(config: Config) -> bool:
    """Whether a link takes the backbone's weights in another form: a copy of a layer can be had of any family."""
    links = [config.get_link(position) for position in range(1, config.chain.depth + 1)]
    return any(link.init == "backbone" and link.kind != "backbone" for link in links)


def check_columns(config: Config, table: pa.Table) -> Problems:
    """Input columns that the table lacks, none at all, or one that a head would have to predict."""
    for role in ("text", "pair", "tokens"):
        name = getattr(config.input, role)
        if name is not None and name not in table.column_names:
            known = ", ".join(table.column_names[:20])
            yield build_problem("input_column_missing", f"input.{role}", column=name, known=known)
    if not (config.input.text or config.input.tokens):
        yield build_problem("input_missing", "input")
    read = {config.input.text, config.input.pair, config.input.tokens}
    for name, head in (config.heads or {}).items():
        if head.column in read:
            yield build_problem("head_reads_input", f"heads.{name}.column", head=name, column=head.column)


def check_files(config: Config, folder: Path, open_table: Open) -> Problems:
    """What `augment` and `stages` name must be there; files and folders are relative to `folder`."""
    augment = config.augment
    if augment.synonyms is not None:
        try:
            read_synonyms(place_path(augment.synonyms, folder))
        except DataError as error:
            yield Problem("augment.synonyms", error)
    for index, stage in enumerate(config.stages or ()):
        if stage.data is not None:
            yield from _check_texts(config, stage.data, f"stages[{index}].data", folder, open_table)
    for route in build_routes(augment, lambda name: place_path(name, folder)):
        try:
            check_translator(route)
        except BackboneError as error:
            yield Problem("augment.back_translation", error)


def _check_texts(config: Config, source: str, path: str, folder: Path, open_table: Open) -> Problems:
    """Texts of a stage's own: lines of a file, or a table with the column that the backbone reads."""
    try:
        check_source(source, folder)
        column = config.input.tokens or config.input.text
        if Path(source).suffix.lower() != ".txt" and column:
            get_column(open_table(DataConfig(train=source)), column)
    except (ChainError, OSError) as error:
        yield Problem(path, explain_failure(error).at(path))


def check_metric(config: Config, list_judged: Callable[[], Collection[str]], validation: int) -> Problems:
    """A metric that none of the `validation` rows can tell.

    `list_judged`: the heads of which they have gold, and "joint"; called only where that matters.
    """
    metric = config.train.metric
    name = metric.partition("/")[0]
    head = (config.heads or {}).get(name)
    if metric == "mean" or not validation or (head is not None and head.kind in SELF_SUPERVISED):
        return
    if name not in list_judged():
        yield build_problem("metric_unlabelled", "train.metric", given=metric)


def build_problem(code: str, path: str, **params: object) -> Problem:
    """A ConfigError at the key that it belongs to."""
    return Problem(path, ConfigError(code, path=path, **params))
