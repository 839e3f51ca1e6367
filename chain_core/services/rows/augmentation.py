"""Changed copies of a run's train rows, as rows of their own: so what the backbone makes of them is cached like any."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from chain_core.config import AugmentConfig, Config
from chain_core.data.answers import encode_answers
from chain_core.data.augment import Change, change_rows, list_words
from chain_core.data.cells import Note, build_note, combine, is_list, split_lists
from chain_core.data.copies import Copies, append_copies, join_cells, join_copies
from chain_core.data.labels import read_gold
from chain_core.data.pointed import Places
from chain_core.data.rows import RowSet
from chain_core.data.synonyms import read_synonyms
from chain_core.data.task import Task
from chain_core.data.text import Texts
from chain_core.data.words import split_words
from chain_core.modeling.backbones.catalogue import BackboneFacts
from chain_core.modeling.backbones.neighbours import find_neighbours
from chain_core.modeling.backbones.translation import Progress, translate_back
from chain_core.modeling.backbones.translators import build_routes
from chain_core.modeling.device import choose_device
from chain_core.paths import place_path


def augment_set(
    part: RowSet, config: Config, facts: BackboneFacts, progress: Progress = lambda done, total: None
) -> tuple[RowSet, list[Note]]:
    """The rows with `augment.copies` changed copies of each train row, in the train split alone; and notes.

    Rows of no words get none; a copy that came out as its row is left out. The same seed gives the same copies.
    `progress(translated, to translate)` is called between batches that are translated and may raise.
    """
    settings, texts = config.augment, part.texts
    if not settings.copies:
        return part, []
    notes = []
    rows = _choose_rows(part)
    tags, places = _read_tags(part), _read_places(part)
    change = Change(
        settings, _find_replacements(settings, facts, texts, rows), np.random.default_rng(config.train.seed)
    )
    translated, repeated = None, np.tile(rows, settings.copies)
    if settings.back_translation is not None:
        whole, bound = _split_bound(rows, tags, places)
        if len(bound):
            notes.append(build_note("rows_not_translated", rows=len(bound)))
        translated = _translate(texts, whole, config, tags, places, progress)
        repeated = np.concatenate([bound, np.tile(rows, settings.copies - 1)])
    changed = change_rows(texts, tags, repeated, change, places)
    copies = changed if translated is None else join_copies(translated, changed)
    notes.append(build_note("rows_augmented", rows=len(copies.rows), train=len(part.splits["train"])))
    return _append(part, copies, tags), notes


def fix_augment_paths(settings: AugmentConfig, folder: Path) -> AugmentConfig:
    """The files and folders that it names as absolute paths. `folder`: what they are relative to."""

    def fix(path: str) -> str:
        return str(place_path(path, folder).resolve())

    update: dict[str, object] = {}
    if settings.synonyms is not None:
        update["synonyms"] = fix(settings.synonyms)
    if settings.back_translation is not None:
        update["back_translation"] = tuple(fix(path) for path in settings.back_translation)
    return settings.model_copy(update=update)


def _choose_rows(part: RowSet) -> np.ndarray:
    """The train rows that have words."""
    rows, first = part.splits["train"], part.texts.first
    if part.texts.kind == "tokens":
        return rows[np.diff(split_lists(first)[1])[rows] > 0]
    words = [bool(split_words(text)) for text in first.take(pa.array(rows)).to_pylist()]
    return rows[np.array(words, bool)]


def _find_replacements(
    settings: AugmentConfig, facts: BackboneFacts, texts: Texts, rows: np.ndarray
) -> dict[str, tuple[str, ...]]:
    if settings.synonyms is not None:
        return read_synonyms(Path(settings.synonyms))
    return find_neighbours(facts, list_words(texts, rows), settings.neighbours) if settings.replace else {}


def _split_bound(
    rows: np.ndarray, tags: Mapping[str, pa.Array], places: tuple[Places, Places]
) -> tuple[np.ndarray, np.ndarray]:
    """Rows that can be translated, and those that cannot: whose words bear tags, or whose labels point at places."""
    bound = np.zeros(len(rows), bool)
    for column in tags.values():
        bound |= np.diff(split_lists(column)[1])[rows] > 0
    for ends in (ends for side in places for ends in side.values()):
        bound |= (ends[rows] >= 0).any(1)
    return rows[~bound], rows[bound]


def _read_tags(part: RowSet) -> dict[str, pa.Array]:
    """Column -> its tags, of the heads that tag."""
    tagging = [task for task in part.tasks if task.kind == "tagging" and part.texts.kind == "tokens"]
    return {task.column: read_gold(part.table, task) for task in tagging}


def _read_places(part: RowSet) -> tuple[Places, Places]:
    """Where labels point in the first and in the second text: at a relation's two spans, at an answer."""
    answers = {task.name: encode_answers(read_gold(part.table, task)) for task in _list_searching(part)}
    found = {name: np.where(ends[:, 1:] > ends[:, :1], ends, -1) for name, ends in answers.items()}
    return (part.texts.spans, found) if part.texts.second is not None else ({**part.texts.spans, **found}, {})


def _list_searching(part: RowSet) -> list[Task]:
    return [task for task in part.tasks if task.kind == "span"]


def _translate(
    texts: Texts,
    rows: np.ndarray,
    config: Config,
    tags: Mapping[str, pa.Array],
    places: tuple[Places, Places],
    progress: Progress,
) -> Copies:
    """Copies of rows, none of them bound to its words, that went through both models of `augment.back_translation`."""
    taken = pa.array(rows)
    first = texts.first.take(taken).to_pylist()
    before = [[" ".join(words) for words in first] if texts.kind == "tokens" else first]
    if texts.second is not None:
        before.append(texts.second.take(taken).to_pylist())
    device, meta = choose_device(config.train.device), {"data": config.data.train}
    after: list[list[str]] = []
    for part in before:
        watch = partial(_tell_share, progress, len(after), len(before))
        after.append(translate_back(part, build_routes(config.augment), device, watch, meta))
    words = [split_words(text) for text in after[0]]
    changed = np.zeros(len(rows), bool)
    for old, new in zip(before, after, strict=True):
        changed |= np.array([one != other for one, other in zip(old, new, strict=True)], bool)
    kept = pa.array(np.flatnonzero(changed & np.array([bool(row) for row in words], bool)))
    told = pa.array(words if texts.kind == "tokens" else after[0], texts.first.type).take(kept)
    second = None if texts.second is None else pa.array(after[1], texts.second.type).take(kept)
    missing = {name: pa.nulls(len(kept), column.type) for name, column in tags.items()}
    taken = rows[kept.to_numpy()]
    nowhere = {head: ends[taken] for side in places for head, ends in side.items()}
    return Copies(taken, Texts(texts.kind, told, second), missing, nowhere)


def _tell_share(progress: Progress, part: int, parts: int, done: int, total: int) -> None:
    """Progress in one of several columns of as many texts."""
    progress(part * total + done, parts * total)


def _append(part: RowSet, copies: Copies, tags: Mapping[str, pa.Array]) -> RowSet:
    """The rows with the copies behind them, in the train split."""
    columns, texts = part.columns, part.texts
    first = join_cells(texts.first, copies.texts.first)
    second = None
    replaced = {name: join_cells(column, copies.tags[name]) for name, column in tags.items()}
    if name := columns.tokens or columns.text:
        replaced[name] = first
    if texts.second is not None and copies.texts.second is not None:
        second = join_cells(texts.second, copies.texts.second)
        if columns.pair:
            replaced[columns.pair] = second
    for task in _list_searching(part):
        replaced |= _point_anew(part, task, copies)
    rows = part.table.num_rows + np.arange(len(copies.rows))
    spans = {head: np.concatenate([ends, copies.places[head]]) for head, ends in texts.spans.items()}
    stand_in = np.zeros(len(texts), np.int64) if texts.files is None else texts.files
    files = np.concatenate([stand_in, np.full(len(copies.rows), -1)])
    return replace(
        part,
        table=append_copies(part.table, copies, replaced),
        texts=Texts(texts.kind, first, second, spans, files),
        splits={**part.splits, "train": np.concatenate([part.splits["train"], rows])},
    )


def _point_anew(part: RowSet, task: Task, copies: Copies) -> dict[str, pa.Array]:
    """Column -> its cells of all rows, of the columns that say which answer a row has and where it stands."""
    places, texts = copies.places[task.name], copies.texts.searched.to_pylist()
    answers = [text[first:end] for text, (first, end) in zip(texts, places.tolist(), strict=True)]
    given = {task.column: answers} | ({task.start: [str(first) for first in places[:, 0]]} if task.start else {})
    replaced = {}
    for name, cells in given.items():
        column = combine(part.table[name])
        old = column.take(pa.array(copies.rows)).to_pylist()
        new = [[cell] if is_list(column.type) else cell for cell in cells]
        chosen = [cell if first >= 0 else kept for cell, kept, first in zip(new, old, places[:, 0], strict=True)]
        replaced[name] = join_cells(column, pa.array(chosen, column.type))
    return replaced
