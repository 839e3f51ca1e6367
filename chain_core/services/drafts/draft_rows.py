"""What the rows of a draft say, kept while nothing that they depend on changes: the screens ask at every change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from chain_core.config import Config, DataConfig, HeadConfig, InputConfig
from chain_core.data.schema import Task, build_tasks
from chain_core.data.splits import split_rows
from chain_core.data.store import open_rows
from chain_core.data.text import read_texts
from chain_core.errors import ChainError, DataError
from chain_core.modeling.backbones.catalogue import BackboneFacts, load_token_counter
from chain_core.modeling.plan import Workload
from chain_core.paths import place_path
from chain_core.services.rows.problems import Problem
from chain_core.services.rows.sets import list_judged

SAMPLE_ROWS = 300
"""Rows whose lengths in tokens stand for all."""


@dataclass(frozen=True)
class DraftRows:
    """What the rows of one data set say of its heads. `sizes`: split -> rows; None where they cannot be split.

    `judged`: the heads that its validation rows can judge, see `list_judged`.
    """

    problems: tuple[Problem, ...]
    tasks: tuple[Task, ...]
    sizes: Mapping[str, int] | None
    judged: frozenset[str] = frozenset()


_LATEST_TABLES: dict[tuple[Any, ...], pa.Table] = {}
_KEPT_TABLES = 8


def open_table(data: DataConfig, folder: Path) -> pa.Table:
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
        status = place_path(source, folder).stat()
    except (OSError, ValueError):
        return ()
    return status.st_mtime_ns, status.st_size


class _TableKey:
    """A table that a cache can keep by identity."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _TableKey) and self.table is other.table

    def __hash__(self) -> int:
        return id(self.table)


def read_rows(table: pa.Table, config: Config) -> DraftRows:
    """Tasks and split sizes of a data set; kept until its table, its splits or its heads' columns change."""
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
    return _read_rows_once(_TableKey(table), config.data, heads, InputConfig(**read))


@lru_cache(maxsize=32)
def _read_rows_once(
    key: _TableKey, data: DataConfig, heads: tuple[tuple[str, HeadConfig], ...], columns: InputConfig
) -> DraftRows:
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
        return DraftRows((*problems, Problem("data", error)), tuple(tasks), None)
    sizes = {split: len(numbers) for split, numbers in rows.items()}
    learnt: list[Task] = []
    by_name = dict(heads)
    for task in tasks:
        try:
            learnt += build_tasks(table, {task.name: by_name[task.name]}, train, columns)
        except DataError as error:
            problems.append(Problem(f"heads.{task.name}", error))
    none = np.zeros(0, np.int64)
    return DraftRows(tuple(problems), tuple(learnt), sizes, list_judged(table, learnt, rows.get("validation", none)))


def count_workload(table: pa.Table, config: Config, facts: BackboneFacts, sizes: Mapping[str, int]) -> Workload | None:
    """How much there is to read of a data set; None where its splits or its texts are not known."""
    if not sizes:
        return None
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
