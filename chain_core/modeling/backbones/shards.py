"""Files that a team computes together: each process writes the rows of its own batches, the main one joins them.

Shards are files of their own, since processes on several machines may not write to one file at the same time. They are
partial files, and what is joined is a draft: readers see whole files or none, and a pass that was broken off goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from chain_core.modeling.failures import portable
from chain_core.modeling.team import Team
from chain_core.storage.drafts import open_draft
from chain_core.storage.partial import Partial, open_partial

AGREE_EVERY = 8
"""Batches after which the processes look whether one has failed."""
States = Iterator[tuple[np.ndarray, Mapping[int, np.ndarray]]]
"""Rows and what was computed of them: layer -> (their items, H)."""
Create = Callable[[Path, int], np.ndarray]
"""A new file of so many items -> the array to write to."""


def write_shards(
    team: Team,
    folder: Path,
    plan: str,
    names: Mapping[int, str],
    batches: Sequence[np.ndarray],
    read: Callable[[Sequence[np.ndarray]], States],
    *,
    meta: Mapping[str, Any],
    count: Callable[[np.ndarray], int],
    find: Callable[[np.ndarray], np.ndarray],
    create: Create,
    check_room: Callable[[int], None],
    progress: Callable[[int, int], None],
) -> None:
    """Compute all batches of rows, and write each layer under its name.

    `plan`, `meta`: see `open_partial`. `count`: items (rows or tokens) of some rows; `find`: their places among all
    items. A process by itself writes where they belong; of several each writes its own one after the other.
    `check_room` raises where all items so many times over are too much. `progress` is called by all alike.
    """
    if team.size == 1:
        with open_partial(folder, plan, list(names.values()), meta) as partial:
            if not partial.done:
                check_room(1)
            _write_alone(partial, names, batches, read, count, find, create, progress)
            partial.publish(folder)
        return
    own = team.deal(batches)
    with open_partial(folder, f"{plan}-{team.rank}of{team.size}", list(names.values()), meta) as partial:
        begun = min(team.gather(partial.done))
        team.lead(lambda: check_room(1 if begun else 2))  # in shards every number is written twice
        arrays = team.together(lambda: _open_all(partial, names, sum(count(rows) for rows in own), create))
        at = sum(count(rows) for rows in own[:begun])
        _fill(team, partial, arrays, batches, read(own[begun:]), begun, at, progress)
        arrays.clear()
        team.together(partial.sync)
        shards = team.collect({layer: partial.path(name) for layer, name in names.items()})
        team.lead(lambda: _join(folder, names, batches, shards, count, find, create))


def _write_alone(partial: Partial, names, batches, read, count, find, create: Create, progress) -> None:
    arrays = _open_all(partial, names, sum(count(rows) for rows in batches), create)
    begun, rows_total = partial.done, sum(map(len, batches))
    done = sum(map(len, batches[:begun]))
    for number, (rows, found) in enumerate(read(batches[begun:]), start=begun + 1):
        target = find(rows)
        for layer, state in found.items():
            arrays[layer][target] = state
        partial.reach(number)
        done += len(rows)
        progress(done, rows_total)


def _open_all(partial: Partial, names: Mapping[int, str], length: int, create: Create) -> dict[int, np.ndarray]:
    """Layer -> the array to write to, (items, H): as far as it has got, or new."""
    paths = {layer: partial.path(name) for layer, name in names.items()}
    if partial.done:
        return {layer: np.asarray(np.lib.format.open_memmap(path, mode="r+")) for layer, path in paths.items()}
    return {layer: create(path, length) for layer, path in paths.items()}


def _fill(
    team: Team,
    partial: Partial,
    arrays: Mapping[int, np.ndarray],
    batches: Sequence[np.ndarray],
    states: States,
    begun: int,
    at: int,
    progress: Callable[[int, int], None],
) -> None:
    """Compute this process's batches, one a round; the others' are taken to be done in the same time.

    `begun`: rounds that all have done before, whose items end at `at`.
    """
    failure = None
    done, rows_total = sum(map(len, batches[: begun * team.size])), sum(map(len, batches))
    for number, first in enumerate(range(begun * team.size, len(batches), team.size), start=begun + 1):
        if failure is None:
            try:
                _, found = next(states, (None, {}))
                for layer, state in found.items():
                    arrays[layer][at : at + len(state)] = state
                at += len(next(iter(found.values()), ()))
                partial.reach(number)
            except Exception as error:
                failure = portable(error)
        done += sum(map(len, batches[first : first + team.size]))
        if number % AGREE_EVERY == 0 or done == rows_total:
            team.agree(failure)
        progress(done, rows_total)


def _join(folder, names, batches, shards: Sequence[Mapping[int, Path]], count, find, create: Create) -> None:
    """All processes' shards as one file a layer."""
    with open_draft(folder) as draft:
        items = sum(count(rows) for rows in batches)
        arrays = {layer: create(draft.path(name), items) for layer, name in names.items()}
        for rank, shard in enumerate(shards):
            for layer, path in shard.items():
                part, at = np.load(path, mmap_mode="r"), 0
                for rows in batches[rank :: len(shards)]:
                    length = count(rows)
                    arrays[layer][find(rows)] = part[at : at + length]
                    at += length
        arrays.clear()
        draft.publish()
