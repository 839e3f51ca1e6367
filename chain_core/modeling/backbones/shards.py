"""Files that a team computes together: each process writes the rows of its own batches, the main one joins them.

Shards are files of their own, since processes on several machines may not write to one file at the same time. They are
drafts, as is what is joined: readers see whole files or none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from chain_core.modeling.team import Team, portable
from chain_core.storage.drafts import Draft, open_draft, sync

AGREE_EVERY = 8
"""Batches after which the processes look whether one has failed."""
States = Iterator[tuple[np.ndarray, Mapping[int, np.ndarray]]]
"""Rows and what was computed of them: layer -> (their items, H)."""
Create = Callable[[Path, int], np.ndarray]
"""A new file of so many items -> the array to write to."""


def write_shards(
    team: Team,
    folder: Path,
    names: Mapping[int, str],
    batches: Sequence[np.ndarray],
    read: Callable[[Sequence[np.ndarray]], States],
    *,
    count: Callable[[np.ndarray], int],
    find: Callable[[np.ndarray], np.ndarray],
    create: Create,
    progress: Callable[[int, int], None],
) -> None:
    """Compute all batches of rows, and write each layer under its name.

    `count`: items (rows or tokens) of some rows; `find`: their places among all items. A process by itself writes
    where they belong; of several each writes its own one after the other. `progress` is called by all alike.
    """
    if team.size == 1:
        _write_alone(folder, names, batches, read(batches), count, find, create, progress)
        return
    with open_draft(folder) as draft:
        own = team.deal(batches)
        ends = {layer: f"{name}.{team.rank}" for layer, name in names.items()}
        arrays = team.together(lambda: _create_all(draft, ends, sum(count(rows) for rows in own), create))
        _fill(team, arrays, batches, read(own), progress)
        arrays.clear()
        team.together(lambda: _sync_all(draft, ends.values()))
        shards = team.collect({layer: draft.path(end) for layer, end in ends.items()})
        team.lead(lambda: _join(folder, names, batches, shards, count, find, create))


def _write_alone(folder, names, batches, states: States, count, find, create: Create, progress) -> None:
    with open_draft(folder) as draft:
        arrays = _create_all(draft, names, sum(count(rows) for rows in batches), create)
        done, rows_total = 0, sum(map(len, batches))
        for rows, found in states:
            target = find(rows)
            for layer, state in found.items():
                arrays[layer][target] = state
            done += len(rows)
            progress(done, rows_total)
        arrays.clear()
        draft.publish()


def _create_all(draft: Draft, names: Mapping[int, str], length: int, create: Create) -> dict[int, np.ndarray]:
    return {layer: create(draft.path(name), length) for layer, name in names.items()}


def _sync_all(draft: Draft, names: Iterable[str]) -> None:
    for name in names:
        sync(draft.path(name))


def _fill(
    team: Team,
    arrays: Mapping[int, np.ndarray],
    batches: Sequence[np.ndarray],
    states: States,
    progress: Callable[[int, int], None],
) -> None:
    """Compute this process's batches, one a round; the others' are taken to be done in the same time."""
    at, done, failure = 0, 0, None
    rows_total = sum(map(len, batches))
    for number, first in enumerate(range(0, len(batches), team.size), start=1):
        if failure is None:
            try:
                _, found = next(states, (None, {}))
                for layer, state in found.items():
                    arrays[layer][at : at + len(state)] = state
                at += len(next(iter(found.values()), ()))
            except Exception as error:
                failure = portable(error)
        done += sum(map(len, batches[first : first + team.size]))
        if number % AGREE_EVERY == 0 or done == rows_total:
            team.agree(failure)
        progress(done, rows_total)


def _join(folder, names, batches, shards: Sequence[Mapping[int, Path]], count, find, create: Create) -> None:
    """All processes' shards as one file a layer."""
    with open_draft(folder) as draft:
        arrays = _create_all(draft, names, sum(count(rows) for rows in batches), create)
        for rank, shard in enumerate(shards):
            for layer, path in shard.items():
                part, at = np.load(path, mmap_mode="r"), 0
                for rows in batches[rank :: len(shards)]:
                    length = count(rows)
                    arrays[layer][find(rows)] = part[at : at + length]
                    at += length
        arrays.clear()
        draft.publish()
