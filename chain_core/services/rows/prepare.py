"""From a config to its rows: every data set read, what was left open inferred, tasks and splits settled.

Several data sets are joined row after row, each with its own input columns, heads and splits: names of columns never
meet, and everything after this sees one long table of rows with gold labels here and there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from chain_core.config import Config, DataConfig, HeadConfig
from chain_core.data.cells import build_note
from chain_core.data.rows import RowSet
from chain_core.data.schema import SENTENCE_LABELS, Task
from chain_core.data.store import open_rows
from chain_core.data.text import Texts
from chain_core.data.unlabelled import read_unlabelled
from chain_core.errors import BackboneError, placed
from chain_core.modeling.backbones.catalogue import BackboneFacts, read_facts
from chain_core.modeling.backbones.shapes import BackboneShapes, read_shapes
from chain_core.modeling.links.density import describe_spending, fill_densities
from chain_core.paths import fix_path
from chain_core.services.rows.augmentation import augment_set, fix_augment_paths
from chain_core.services.rows.complete import complete_config
from chain_core.services.rows.idle import find_idle
from chain_core.services.rows.problems import check_config, check_metric
from chain_core.services.rows.replay import find_bundle, read_replay, widen_task
from chain_core.services.rows.sets import list_judged, read_sets
from chain_core.training.assemble import Material
from chain_core.training.control import watch


def prepare_run(
    config: Config,
    folder: Path,
    check: Callable[[], None] = lambda: None,
    layers: Sequence[int] = (),
    tell: Callable[[dict[str, Any]], None] = lambda event: None,
) -> Material:
    """Rows, tasks and splits of a config, with its changed copies. Raises ChainError for all that cannot run.

    `check` is called now and then while rows are read or translated; it may raise. `layers`: see Material. `tell` is
    given an event for a phase of its own, should there be one, and for what is done of it.
    """
    return augment_material(read_material(config, folder, check, layers), check, tell)


def read_material(
    config: Config, folder: Path, check: Callable[[], None] = lambda: None, layers: Sequence[int] = ()
) -> Material:
    """The same without copies: all that can be known before a run exists."""
    config, facts, tables, notes = settle_config(config, folder, check)
    unlabelled = read_stages(config, folder, check)
    sets = read_sets(config, tables)
    for problem in check_metric(config, lambda: _list_judged(sets), sum(len(p.splits["validation"]) for p in sets)):
        raise problem.error
    check()
    notes += [note for part in sets for task in part.tasks for note in task.notes]
    tasks = list_tasks(config, sets)
    if config.start is not None and config.start.replay:
        replayed = read_replay(config, find_bundle(config.start.run, folder), tasks)
        tasks = tuple(widen_task(task, replayed) for task in tasks)
        sets = [replace(part, tasks=_pick(part.tasks, tasks)) for part in (*sets, *replayed)]
        notes.append(build_note("rows_replayed", rows=sum(len(part.texts) for part in replayed)))
    return Material(config, tuple(sets), tasks, facts, tuple(notes), unlabelled, tuple(layers))


def _list_judged(sets: Sequence[RowSet]) -> frozenset[str]:
    return frozenset().union(*(list_judged(part.table, part.tasks, part.splits["validation"]) for part in sets))


def augment_material(
    material: Material,
    check: Callable[[], None] = lambda: None,
    tell: Callable[[dict[str, Any]], None] = lambda event: None,
) -> Material:
    """The run's own sets with changed copies of their train rows; replayed ones stay as they are. See `prepare_run`."""
    config, sets, notes = material.config, list(material.sets), list(material.notes)
    if not config.augment.copies:
        return material
    if config.augment.back_translation is not None:
        tell({"kind": "phase", "phase": "translating"})
    for index in range(len(config.get_sets())):
        check()
        watched = watch("translating", tell, check)
        sets[index], told = augment_set(sets[index], config, material.facts, watched)
        notes += told
    return replace(material, sets=tuple(sets), notes=tuple(notes))


class Settled(NamedTuple):
    """A config of which nothing is left open, and what that was read from."""

    config: Config
    facts: BackboneFacts
    tables: dict[str, pa.Table]
    """Entry of `also` ("" for `data`) -> its rows."""
    notes: list[dict[str, Any]]


def settle_config(config: Config, folder: Path, check: Callable[[], None] = lambda: None) -> Settled:
    """What a config leaves open inferred from its rows and its backbone, its paths made absolute.

    Raises ChainError, whatever it is that the config asks for in vain.
    """
    config, tables, notes = open_tables(config, folder, check)
    facts = read_facts(config.backbone.name)
    shapes = _read_shapes(facts)
    for problem in check_config(config, tables, facts, shapes, folder, lambda data: open_rows(data, folder, check)[1]):
        raise problem.error
    filled, spent = _spend_budget(config, facts)
    return Settled(_fix_paths(filled, folder), facts, tables, [*notes, *find_idle(config), *spent])


def _pick(own: Sequence[Task], widened: Sequence[Task]) -> tuple[Task, ...]:
    """A set's tasks, with the label spaces of all sets together."""
    spaces = {task.name: task.label_space for task in widened}
    return tuple(replace(task, label_space=spaces[task.name]) for task in own)


def read_stages(config: Config, folder: Path, check: Callable[[], None] = lambda: None) -> dict[int, Texts]:
    """Number of each stage that brings rows of its own -> its texts."""
    found = {}
    for number, stage in enumerate(config.get_stages(), start=1):
        if stage.data is not None:
            with placed(f"stages[{number - 1}].data"):
                found[number] = read_unlabelled(stage.data, folder, config.input, check)
    return found


def open_tables(
    config: Config, folder: Path, check: Callable[[], None] = lambda: None
) -> tuple[Config, dict[str, pa.Table], list[dict[str, Any]]]:
    """The config completed, entry of `also` ("" for `data`) -> its table, and notes."""
    tables: dict[str, pa.Table] = {}
    notes: list[dict[str, Any]] = []
    for name, part in config.get_sets().items():
        with placed(f"also.{name}.data" if name else "data"):
            data_set, tables[name] = open_rows(part.data, folder, check)
        notes += data_set.notes
    others = {name: table for name, table in tables.items() if name}
    config, inferred = complete_config(config, tables[""], others)
    return config, tables, notes + inferred


def list_tasks(config: Config, sets: Sequence[RowSet]) -> tuple[Task, ...]:
    """What the heads predict, in their order; a head that learns the texts themselves has neither column nor labels."""
    assert config.heads is not None
    known = {task.name: task for part in sets for task in part.tasks}
    return tuple(known.get(name, build_language_task(name, head)) for name, head in config.heads.items())


def build_language_task(name: str, head: HeadConfig) -> Task:
    """What a head without a column predicts."""
    return Task(name, head.kind, "", SENTENCE_LABELS if head.kind == "next_sentence" else ())


def _read_shapes(facts: BackboneFacts) -> BackboneShapes | None:
    """None where the files keep their weights in a way that tells nothing of the layers."""
    try:
        return read_shapes(facts.folder, facts.num_layers)
    except BackboneError:
        return None


def _spend_budget(config: Config, facts: BackboneFacts) -> tuple[Config, list[dict[str, Any]]]:
    """The config with its budget turned into densities, and a note that says which."""
    if config.chain.budget is None:
        return config, []
    shapes = read_shapes(facts.folder, facts.num_layers)
    filled = fill_densities(config, facts, shapes)
    return filled, describe_spending(config, filled, facts, shapes)


def _fix_paths(config: Config, folder: Path) -> Config:
    """Paths made absolute, since the run's folder is not the one that they are relative to."""
    also = {name: part.model_copy(update={"data": _fix_data(part.data, folder)}) for name, part in config.also.items()}
    stages = config.stages and tuple(
        stage.model_copy(update={"data": fix_path(stage.data, folder)}) if stage.data else stage
        for stage in config.stages
    )
    start = config.start and config.start.model_copy(update={"run": fix_path(config.start.run, folder)})
    fixed = {"data": _fix_data(config.data, folder), "also": also, "stages": stages, "start": start}
    return config.model_copy(update={**fixed, "augment": fix_augment_paths(config.augment, folder)})


def _fix_data(data: DataConfig, folder: Path) -> DataConfig:
    given = {key: getattr(data, key) for key in ("train", "validation", "test")}
    return data.model_copy(
        update={key: fix_path(value, folder) for key, value in given.items() if isinstance(value, str)}
    )
