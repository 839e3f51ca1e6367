"""The run that a config starts from: where it lies, and the sample of its rows that trains along.

Replay against forgetting: rows of the old run with the labels of the heads that both runs have (Robins 1995).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from chain_core.config import Config, HeadConfig, load_yaml, restore_config
from chain_core.data.cells import is_list, split_lists
from chain_core.data.labels import order_labels, read_gold
from chain_core.data.rows import RowSet
from chain_core.data.store import open_rows
from chain_core.data.task import Task
from chain_core.data.text import read_texts
from chain_core.errors import ConfigError, RunError
from chain_core.paths import get_folder, place_path
from chain_core.services.rows.sets import list_heads, read_sets

NAME = "replay"


def find_bundle(run: str, folder: Path) -> Path:
    """The bundle of a run, named by its folder (relative to `folder`) or its id. Raises ConfigError for none."""
    for place in (place_path(run, folder), get_folder("runs") / run):
        for bundle in (place / "model", place):
            if all(os.path.isfile(bundle / name) for name in ("config.yaml", "tasks.json")):
                return bundle.resolve()
    raise ConfigError("start_missing", path="start.run", given=run)


def read_replay(config: Config, bundle: Path, tasks: Sequence[Task]) -> list[RowSet]:
    """`start.replay` of the old run's train rows, set by set, with the labels of heads that `tasks` knows by name and
    kind. Raises ConfigError where there is no such head, DataError where the rows are gone."""
    assert config.start is not None
    old = load_config(bundle)
    if not find_common_heads(old, config):
        raise ConfigError("start_no_heads", path="start.replay")
    kinds = {task.name: task.kind for task in tasks}
    random = np.random.default_rng(config.train.seed)
    found = []
    for part in read_sets(old, {name: open_rows(part.data, bundle)[1] for name, part in old.get_sets().items()}):
        shared = tuple(task for task in part.tasks if kinds.get(task.name) == task.kind)
        rows = part.splits["train"]
        count = min(max(round(len(rows) * config.start.replay), 1), len(rows))
        chosen = np.sort(random.choice(rows, count, replace=False))
        if shared:
            heads = {name: head for name, head in list_heads(old, part.name).items() if name in kinds}
            found.append(_take(part, chosen, shared, heads))
    return found


def find_common_heads(old: Config, config: Config) -> list[str]:
    """The heads with a column that both runs have by name and kind."""
    kinds = {name: head.kind for name, head in (config.heads or {}).items()}
    answering = [head for name in old.get_sets() for head in list_heads(old, name).items()]
    return [name for name, head in answering if kinds.get(name) == head.kind]


def load_config(bundle: Path) -> Config:
    """The config of a bundle's run. Raises RunError where it cannot be read."""
    try:
        return restore_config(load_yaml((bundle / "config.yaml").read_text(encoding="utf-8")))
    except (OSError, UnicodeError):
        raise RunError("bundle_unreadable", folder=str(bundle)) from None


def _take(part: RowSet, rows: np.ndarray, tasks: tuple[Task, ...], heads: Mapping[str, HeadConfig]) -> RowSet:
    """Some rows of a set, all of them to train on."""
    table, none = part.table.take(pa.array(rows)), np.zeros(0, np.int64)
    return replace(
        part,
        name=f"{NAME}-{part.name}" if part.name else NAME,
        table=table,
        texts=replace(read_texts(table, part.columns, heads), files=np.full(len(rows), -1)),
        tasks=tasks,
        splits={**dict.fromkeys(part.splits, none), "train": np.arange(len(rows))},
    )


def widen_task(task: Task, sets: Sequence[RowSet]) -> Task:
    """The task with the labels that rows of these sets bear besides its own; "O" stays first."""
    labels = set(task.label_space)
    for part in sets:
        for other in part.tasks:
            if other.name == task.name and task.label_space:
                gold = read_gold(part.table, other)
                items = split_lists(gold)[0] if is_list(gold.type) else gold
                labels |= set(pc.unique(items.drop_null()).to_pylist())
    if labels == set(task.label_space):
        return task
    return replace(task, label_space=order_labels(labels, task.kind))
