"""A config's data sets as rows: texts, tasks and splits of each, by its own columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from chain_core.config import SELF_SUPERVISED, Config, HeadConfig, InputConfig, SetConfig
from chain_core.data.labels import read_gold
from chain_core.data.rows import RowSet
from chain_core.data.schema import build_tasks
from chain_core.data.splits import SPLITS, split_rows
from chain_core.data.task import Task
from chain_core.data.text import read_texts
from chain_core.errors import placed


def read_sets(config: Config, tables: Mapping[str, pa.Table]) -> list[RowSet]:
    """Each data set's rows, that of `data` first."""
    return [_read_set(name, part, tables[name], list_heads(config, name)) for name, part in config.get_sets().items()]


def list_heads(config: Config, data: str) -> dict[str, HeadConfig]:
    """The heads that learn from the columns of one data set: an entry of `also`, "" for `data`."""
    return {
        name: head
        for name, head in (config.heads or {}).items()
        if (head.data or "") == data and head.kind not in SELF_SUPERVISED
    }


def _read_set(name: str, part: SetConfig, table: pa.Table, heads: Mapping[str, HeadConfig]) -> RowSet:
    texts = read_texts(table, part.input, heads)
    tasks = _build_tasks(table, heads, None, part.input)
    none = {split: np.zeros(0, np.int64) for split in SPLITS}
    with placed(f"also.{name}.data" if name else "data"):
        splits = {**none, **split_rows(table, part.data, tasks, part.input)}
    tasks = _build_tasks(table, heads, splits["train"], part.input)
    return RowSet(name, part.data.train, part.input, table, texts, tasks, splits)


def _build_tasks(
    table: pa.Table, heads: Mapping[str, HeadConfig], rows: np.ndarray | None, columns: InputConfig
) -> tuple[Task, ...]:
    """As `build_tasks`, whose errors are those of the head that they are met with."""
    tasks: list[Task] = []
    for name, head in heads.items():
        with placed(f"heads.{name}"):
            tasks += build_tasks(table, {name: head}, rows, columns)
    return tuple(tasks)


def list_judged(table: pa.Table, tasks: Sequence[Task], rows: np.ndarray) -> frozenset[str]:
    """The heads of a set that these rows can judge; "joint" where a row has gold for all that can be right together."""
    known = {task.name: read_gold(table, task).take(pa.array(rows)).is_valid().to_numpy(False) for task in tasks}
    together = [known[task.name] for task in tasks if task.kind != "regression"]
    joint = {"joint"} if together and np.all(together, axis=0).any() else set()
    return frozenset({name for name, given in known.items() if given.any()} | joint)
