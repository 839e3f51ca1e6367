"""A draft held against its data and its backbone, before it becomes a run: every problem and the plan.

`config.find_problems` judges a mapping by itself; this module judges what only the rows and the backbone's folder can
tell. Nothing here loads torch or a weight: the screens call it at every change.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from chain_core.config import Config, DataConfig, find_problems, resolve_config
from chain_core.data.cells import Note
from chain_core.data.schema import Task
from chain_core.errors import BackboneError, ChainError, ConfigError, explain_failure
from chain_core.modeling.backbones.catalogue import BackboneFacts
from chain_core.modeling.backbones.shapes import BackboneShapes, read_shapes
from chain_core.modeling.links.density import fill_densities
from chain_core.modeling.plan import Plan, Workload, compute_plan
from chain_core.services.drafts.draft_rows import DraftRows, count_workload, open_table, read_rows
from chain_core.services.rows.complete import add_language_heads, complete_mapping
from chain_core.services.rows.idle import find_idle
from chain_core.services.rows.problems import Problem, build_problem, check_config, check_metric, place, view_set


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
    notes: tuple[Note, ...] = ()
    """What in it comes to nothing."""


def inspect_draft(
    draft: Mapping[str, Any], folder: Path, facts: BackboneFacts | None, gflops: float | None = None
) -> Inspection:
    """Everything about a draft. `folder`: what relative paths are relative to; `facts`: None where still unknown."""
    problems = [Problem(error.path, error) for error in find_problems(draft)]
    valid = not problems
    shapes = _read_shapes(facts, problems)
    targets = shapes.find_target_names() if shapes else ()
    tables = _open_tables(draft, folder, problems)
    columns = tuple(tables[""].column_names) if "" in tables else ()
    if not valid:
        return Inspection(tuple(problems), columns=columns, targets=targets)
    config = resolve_config(draft)
    if len(tables) <= len(config.also):
        return Inspection(tuple(problems), config, columns, targets=targets)
    views = {name: view_set(config, name) for name in tables}
    rows = {name: read_rows(tables[name], views[name]) for name in tables} if config.heads else {}
    for name, found in rows.items():
        problems += place(found.problems, name)
    if not config.heads:
        problems.append(build_problem("no_label_column", "heads"))
    problems += check_config(config, tables, facts, shapes, folder, lambda data: open_table(data, folder))
    sizes = _add_sizes(rows.values())
    if not problems:
        validation = (sizes or {}).get("validation", 0)
        problems += check_metric(config, lambda: {name for found in rows.values() for name in found.judged}, validation)
    known = {task.name: task for found in rows.values() for task in found.tasks}
    tasks = tuple(known[name] for name in config.heads or {} if name in known)
    plan = built = None
    whole = add_language_heads(config)
    if facts is not None and shapes is not None and not any(p.path.startswith("chain.taps") for p in problems):
        classes = {task.name: max(len(task.label_space), 1) for task in tasks}
        workload = _join_workloads(
            [count_workload(tables[name], views[name], facts, found.sizes or {}) for name, found in rows.items()]
        )
        try:
            built = fill_densities(whole, facts, shapes)
            plan = compute_plan(built, facts, shapes, classes, workload, gflops)
        except ConfigError as error:
            problems.append(Problem(error.path, error))
    notes = find_idle(whole) if config.heads else ()
    return Inspection(tuple(problems), config, columns, tasks, sizes, plan, targets, built, notes)


def _open_tables(draft: Mapping[str, Any], folder: Path, problems: list[Problem]) -> dict[str, pa.Table]:
    """Entry of `also` ("" for `data`) -> its table; what cannot be read is a problem of its own."""
    tables = {}
    for name, section in _list_sections(draft).items():
        try:
            tables[name] = open_table(_read_data_config(section), folder)
        except ConfigError:
            pass  # `find_problems` has said so
        except (ChainError, OSError) as error:
            path = f"also.{name}.data" if name else "data"
            problems.append(Problem(path, explain_failure(error).at(path)))
    return tables


def _add_sizes(rows: Iterable[DraftRows]) -> dict[str, int] | None:
    """Split -> rows of all data sets together; None where one of them cannot be split."""
    total: dict[str, int] = {}
    for found in rows:
        if found.sizes is None:
            return None
        for split, size in found.sizes.items():
            total[split] = total.get(split, 0) + size
    return total or None


def _join_workloads(parts: Sequence[Workload | None]) -> Workload | None:
    """What there is to read of all data sets together."""
    known = [part for part in parts if part is not None]
    if not known or len(known) < len(parts):
        return None
    rows = [part.train + part.others for part in known]
    tokens = float(np.average([part.tokens for part in known], weights=rows)) if sum(rows) else known[0].tokens
    train, others = sum(part.train for part in known), sum(part.others for part in known)
    return Workload(train, others, tokens, max(part.longest for part in known))


def complete_draft(draft: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The draft with the inputs, the split column and the heads inferred from the columns where it leaves them out.

    It stays as it is while the rows of one of its data sets cannot be read.
    """
    try:
        tables = {name: open_table(_read_data_config(part), folder) for name, part in _list_sections(draft).items()}
        return complete_mapping(draft, tables.pop(""), tables)
    except (ChainError, OSError):
        return dict(draft)


def _list_sections(draft: Mapping[str, Any]) -> dict[str, Any]:
    """Entry of `also`, "" for the draft itself -> what has a `data` section."""
    also = draft.get("also")
    return {"": draft, **(also if isinstance(also, Mapping) else {})}


def read_columns(data: Any, folder: Path) -> tuple[str, ...]:
    """The columns of a `data` section. Raises ChainError where its rows cannot be read."""
    try:
        return tuple(open_table(_read_data_config({"data": data}), folder).column_names)
    except OSError as error:
        raise explain_failure(error) from None


def list_columns(data: Any, folder: Path) -> tuple[str, ...]:
    """The same; none where its rows cannot be read, which is a problem of its own."""
    try:
        return read_columns(data, folder)
    except ChainError:
        return ()


def _read_data_config(draft: Any) -> DataConfig:
    data = draft.get("data") if isinstance(draft, Mapping) else None
    return resolve_config({"data": data}).data


def _read_shapes(facts: BackboneFacts | None, problems: list[Problem]) -> BackboneShapes | None:
    if facts is None:
        return None
    try:
        return _read_shapes_cached(facts.folder, facts.num_layers)
    except BackboneError as error:
        problems.append(Problem("backbone.name", error))
        return None


_read_shapes_cached = lru_cache(maxsize=8)(read_shapes)
