"""A draft held against its data and its backbone, before it becomes a run: every problem and the plan.

`config.find_problems` judges a mapping by itself; this module judges what only the rows and the backbone's folder can
tell. Nothing here loads torch or a weight: the screens call it at every change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from chain_core.config import LORA_TUNINGS, Config, DataConfig, HeadConfig, InputConfig, find_problems, resolve_config
from chain_core.data.augment import read_synonyms
from chain_core.data.schema import Task, build_tasks
from chain_core.data.splits import split_rows
from chain_core.data.store import open_rows
from chain_core.data.text import read_texts
from chain_core.errors import BackboneError, ChainError, ConfigError, DataError
from chain_core.modeling.catalogue import BackboneFacts, load_token_counter
from chain_core.modeling.density import fill_densities
from chain_core.modeling.plan import Plan, Workload, compute_plan
from chain_core.modeling.shapes import BackboneShapes, read_shapes
from chain_core.services.complete import complete_mapping

SAMPLE_ROWS = 300
"""Rows whose lengths in tokens stand for all."""


@dataclass(frozen=True)
class Problem:
    """Something that keeps a draft from training."""

    path: str
    """The key it belongs to, such as `heads.intent`; "" where it belongs to none."""
    error: ChainError


@dataclass(frozen=True)
class Inspection:
    """What is known of a draft. Everything after `problems` is missing where a problem stands in its way."""

    problems: tuple[Problem, ...]
    config: Config | None = None
    columns: tuple[str, ...] = ()
    tasks: tuple[Task, ...] = ()
    sizes: Mapping[str, int] | None = None
    """Split -> rows."""
    plan: Plan | None = None
    targets: tuple[str, ...] = ()
    """Names of the backbone's linear layers, which LoRA can wrap."""
    built: Config | None = None
    """The config as the plan has it: its budget turned into densities."""


def inspect_draft(
    draft: Mapping[str, Any], folder: Path, facts: BackboneFacts | None, gflops: float | None = None
) -> Inspection:
    """Everything about a draft. `folder`: what relative paths are relative to; `facts`: None where still unknown."""
    problems = [Problem(error.path, error) for error in find_problems(draft)]
    valid = not problems
    shapes = _read_shapes(facts, problems)
    targets = shapes.find_target_names() if shapes else ()
    table = None
    try:
        table = _open_table(_read_data_config(draft), folder)
    except ConfigError:
        pass  # `find_problems` has said so
    except (ChainError, OSError) as error:
        problems.append(Problem("data", _explain(error)))
    columns = tuple(table.column_names) if table is not None else ()
    if not valid:
        return Inspection(tuple(problems), columns=columns, targets=targets)
    config = resolve_config(draft)
    if table is None:
        return Inspection(tuple(problems), config, columns, targets=targets)
    rows = _read_rows_cached(table, config) if config.heads else None
    if rows is not None:
        problems += rows.problems
    problems += find_draft_problems(config, facts, shapes, table)
    problems += _check_files(config, folder)
    tasks = rows.tasks if rows else ()
    plan = built = None
    if facts is not None and shapes is not None and not any(p.path.startswith("chain.taps") for p in problems):
        classes = {task.name: max(len(task.label_space), 1) for task in tasks}
        workload = _count_workload(table, config, facts, rows.sizes) if rows and rows.sizes else None
        try:
            built = fill_densities(config, facts, shapes)
            plan = compute_plan(built, facts, shapes, classes, workload, gflops)
        except ConfigError as error:
            problems.append(Problem(error.path, error))
    return Inspection(tuple(problems), config, columns, tasks, rows.sizes if rows else None, plan, targets, built)


def find_draft_problems(
    config: Config, facts: BackboneFacts | None, shapes: BackboneShapes | None, table: pa.Table
) -> list[Problem]:
    """What a valid config asks of its backbone and its columns that they do not have."""
    return [*_check_backbone(config, facts, shapes), *_check_columns(config, table)]


def complete_draft(draft: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The draft with its input, split column and heads inferred from the columns where it leaves them out."""
    try:
        return complete_mapping(draft, _open_table(_read_data_config(draft), folder))
    except (ChainError, OSError):
        return dict(draft)


def list_columns(data: Any, folder: Path) -> tuple[str, ...]:
    """The columns of a `data` section; none where its rows cannot be read, which is a problem of its own."""
    try:
        return tuple(_open_table(_read_data_config({"data": data}), folder).column_names)
    except (ChainError, OSError):
        return ()


def _check_backbone(config: Config, facts: BackboneFacts | None, shapes: BackboneShapes | None):
    if facts is None:
        return
    for index, tap in enumerate(config.chain.taps or ()):
        if tap > facts.num_layers:
            path = f"chain.taps[{index}]"
            yield _build_problem("tap_beyond", path, given=tap, limit=facts.num_layers)
    backbone = config.backbone
    if backbone.tuning != "frozen" and (backbone.layers or 0) > facts.num_layers:
        path = "backbone.layers"
        yield _build_problem("must_be_at_most", path, given=backbone.layers, limit=facts.num_layers)
    if backbone.tuning in LORA_TUNINGS and shapes is not None and not isinstance(backbone.targets, str):
        known = shapes.find_target_names()
        if not shapes.count_lora(0, backbone):
            given, path = ", ".join(backbone.targets), "backbone.targets"
            yield _build_problem("lora_targets", path, given=given, known=", ".join(known))
    length = config.input.max_length
    if length is not None and length > facts.max_length:
        yield _build_problem("must_be_at_most", "input.max_length", given=length, limit=facts.max_length)


def _check_columns(config: Config, table: pa.Table):
    for role in ("text", "pair", "tokens"):
        name = getattr(config.input, role)
        if name is not None and name not in table.column_names:
            known = ", ".join(table.column_names[:20])
            yield _build_problem("input_column_missing", f"input.{role}", column=name, known=known)
    if not (config.input.text or config.input.tokens):
        yield _build_problem("input_missing", "input")
    if not config.heads:
        yield _build_problem("no_label_column", "heads")
    read = {config.input.text, config.input.pair, config.input.tokens}
    for name, head in (config.heads or {}).items():
        if head.column in read:
            yield _build_problem("head_reads_input", f"heads.{name}.column", head=name, column=head.column)


def _check_files(config: Config, folder: Path):
    """What `augment` names must be there; files and folders are relative to `folder`."""
    augment = config.augment
    if augment.synonyms is not None:
        try:
            read_synonyms(folder / Path(augment.synonyms).expanduser())
        except DataError as error:
            yield Problem("augment.synonyms", error)
    for name in augment.back_translation or ():
        path = folder / Path(name).expanduser()
        if not (path / "config.json").is_file() or not any(path.glob("*.safetensors")):
            key = "augment.back_translation"
            yield Problem(key, BackboneError("translation_missing", path=key, folder=str(path)))


def _build_problem(code: str, path: str, **params: object) -> Problem:
    return Problem(path, ConfigError(code, path=path, **params))


@dataclass(frozen=True)
class _Rows:
    problems: tuple[Problem, ...]
    tasks: tuple[Task, ...]
    sizes: Mapping[str, int] | None


_LATEST_TABLES: dict[tuple[Any, ...], pa.Table] = {}
_KEPT_TABLES = 4


def _open_table(data: DataConfig, folder: Path) -> pa.Table:
    """The rows of a data config; read again only where a file has changed."""
    sources = [value for value in (data.train, data.validation, data.test) if isinstance(value, str)]
    key = (data, folder, *(_stamp(folder, source) for source in sources))
    if key not in _LATEST_TABLES:
        _, table = open_rows(data, folder)
        while len(_LATEST_TABLES) >= _KEPT_TABLES:
            _LATEST_TABLES.pop(next(iter(_LATEST_TABLES)), None)
        _LATEST_TABLES[key] = table
    return _LATEST_TABLES[key]


def _stamp(folder: Path, source: str) -> tuple[int, ...]:
    try:
        status = (folder / source).expanduser().stat()
    except (OSError, ValueError, RuntimeError):
        return ()
    return status.st_mtime_ns, status.st_size


def _read_data_config(draft: Mapping[str, Any]) -> DataConfig:
    data = draft.get("data")
    return resolve_config({"data": data}).data


class _TableKey:
    """A table that a cache can keep by identity."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _TableKey) and self.table is other.table

    def __hash__(self) -> int:
        return id(self.table)


def _read_rows_cached(table: pa.Table, config: Config) -> _Rows:
    heads = tuple(
        (
            name,
            HeadConfig(
                kind=head.kind, column=head.column, separator=head.separator, start=head.start, spans=head.spans
            ),
        )
        for name, head in (config.heads or {}).items()
    )
    read = {role: getattr(config.input, role) for role in ("text", "pair", "tokens")}
    if any(name is not None and name not in table.column_names for name in read.values()):
        # A problem of its own, which hides those of the heads that read these columns.
        heads = tuple(item for item in heads if item[1].kind not in ("span", "relation"))
        read = {}
    return _read_rows(_TableKey(table), config.data, heads, InputConfig(**read))


@lru_cache(maxsize=32)
def _read_rows(
    key: _TableKey, data: DataConfig, heads: tuple[tuple[str, HeadConfig], ...], columns: InputConfig
) -> _Rows:
    """Tasks and split sizes; a head whose labels cannot be learnt is a problem of its own."""
    table, problems = key.table, []
    tasks: list[Task] = []
    for name, head in heads:
        try:
            tasks += build_tasks(table, {name: head}, None, columns)
        except DataError as error:
            problems.append(Problem(f"heads.{name}", error))
    try:
        rows = split_rows(table, data, tasks, columns)
        train = rows["train"] if len(rows["train"]) < table.num_rows else None
    except DataError as error:
        return _Rows((*problems, Problem("data", error)), tuple(tasks), None)
    sizes = {split: len(numbers) for split, numbers in rows.items()}
    learnt: list[Task] = []
    by_name = dict(heads)
    for task in tasks:
        try:
            learnt += build_tasks(table, {task.name: by_name[task.name]}, train, columns)
        except DataError as error:
            problems.append(Problem(f"heads.{task.name}", error))
    return _Rows(tuple(problems), tuple(learnt), sizes)


def _count_workload(table: pa.Table, config: Config, facts: BackboneFacts, sizes: Mapping[str, int]) -> Workload | None:
    limit = config.input.max_length or facts.max_length
    columns = InputConfig(text=config.input.text, pair=config.input.pair, tokens=config.input.tokens)
    try:
        lengths = _count_tokens(_TableKey(table), columns, facts.name)
    except (ChainError, OSError):
        return None
    lengths = np.minimum(lengths, limit)
    train = sizes.get("train", 0)
    return Workload(train, sum(sizes.values()) - train, float(lengths.mean()), int(lengths.max()))


@lru_cache(maxsize=32)
def _count_tokens(key: _TableKey, columns: InputConfig, backbone: str) -> np.ndarray:
    """Lengths in tokens of a sample of rows, spread over the table."""
    rows = np.unique(np.linspace(0, key.table.num_rows - 1, SAMPLE_ROWS).astype(np.int64))
    sample = key.table.take(rows)
    texts = read_texts(sample, columns)
    count = load_token_counter(backbone)
    first = [" ".join(cell) if isinstance(cell, list) else cell for cell in texts.first.to_pylist()]
    lengths = count(first)
    return lengths + count(texts.second.to_pylist()) if texts.second is not None else lengths


def _read_shapes(facts: BackboneFacts | None, problems: list[Problem]) -> BackboneShapes | None:
    if facts is None:
        return None
    try:
        return _read_shapes_cached(facts.folder, facts.num_layers)
    except BackboneError as error:
        problems.append(Problem("backbone.name", error))
        return None


_read_shapes_cached = lru_cache(maxsize=8)(read_shapes)


def _explain(error: Exception) -> ChainError:
    if isinstance(error, ChainError):
        return error
    reason = getattr(error, "strerror", None) or str(error)
    return DataError("file_unreadable", name=getattr(error, "filename", None) or "?", reason=reason)
