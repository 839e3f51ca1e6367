"""What a valid config asks of its backbone, its columns and its files that they do not have."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from chain_core.config import LORA_TUNINGS, Config
from chain_core.data.synonyms import read_synonyms
from chain_core.data.unlabelled import check_source
from chain_core.errors import BackboneError, ChainError, ConfigError, DataError
from chain_core.modeling.backbones.catalogue import BackboneFacts
from chain_core.modeling.backbones.objectives import find_objective_problems
from chain_core.modeling.backbones.shapes import BackboneShapes
from chain_core.modeling.links.families import find_names
from chain_core.services.rows.replay import find_bundle

Problems = Iterator["Problem"]


@dataclass(frozen=True)
class Problem:
    """Something that keeps a draft from training."""

    path: str
    """The key it belongs to, such as `heads.intent`; "" where it belongs to none."""
    error: ChainError


def check_backbone(config: Config, facts: BackboneFacts | None, shapes: BackboneShapes | None) -> Problems:
    """Layers that the backbone has not, linear layers of other names, more tokens than it reads."""
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
    if backbone.tuning in LORA_TUNINGS and shapes is not None and not isinstance(backbone.targets, str):
        known = shapes.find_target_names()
        if not shapes.count_lora(0, backbone):
            given, path = ", ".join(backbone.targets), "backbone.targets"
            yield build_problem("lora_targets", path, given=given, known=", ".join(known))
    if shapes is not None and _begins_from_layers(config):
        modules = {name.removesuffix(".weight") for name in shapes.layers[0]}
        if find_names(modules) is None:
            yield build_problem("init_backbone_family", "chain.links", model_type=facts.model_type)
    for error in find_objective_problems(config, facts):
        yield Problem(error.path, error)
    length = config.input.max_length
    if length is not None and length > facts.max_length:
        yield build_problem("must_be_at_most", "input.max_length", given=length, limit=facts.max_length)


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


def check_files(config: Config, folder: Path) -> Problems:
    """What `augment`, `stages` and `start` name must be there; files and folders are relative to `folder`."""
    augment = config.augment
    if augment.synonyms is not None:
        try:
            read_synonyms(folder / Path(augment.synonyms).expanduser())
        except DataError as error:
            yield Problem("augment.synonyms", error)
    for index, stage in enumerate(config.stages or ()):
        if stage.data is not None:
            try:
                check_source(stage.data, folder)
            except DataError as error:
                yield Problem(f"stages[{index}].data", error)
    if config.start is not None:
        try:
            find_bundle(config.start.run, folder)
        except ConfigError as error:
            yield Problem("start.run", error)
    for name in augment.back_translation or ():
        path = folder / Path(name).expanduser()
        if not (path / "config.json").is_file() or not any(path.glob("*.safetensors")):
            key = "augment.back_translation"
            yield Problem(key, BackboneError("translation_missing", path=key, folder=str(path)))


def build_problem(code: str, path: str, **params: object) -> Problem:
    """A ConfigError at the key that it belongs to."""
    return Problem(path, ConfigError(code, path=path, **params))
