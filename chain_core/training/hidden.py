"""The frozen half's states of a run's rows: of those that training reads before it, of the test rows after it.

A curve begins sooner so, and test rows that are swapped for others leave the rest cached.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from chain_core.data.cells import build_note
from chain_core.data.encode import Encoded
from chain_core.data.encoded_rows import slice_inputs
from chain_core.data.rows import RowSet
from chain_core.modeling.backbones.catalogue import BackboneFacts
from chain_core.modeling.backbones.features import compute_cache_key, compute_features
from chain_core.modeling.joined import States, join_states
from chain_core.modeling.model import load_lower
from chain_core.modeling.team import SOLO, Team
from chain_core.paths import get_folder
from chain_core.storage.entries import load_limit
from chain_core.training.control import ReadControl, heed_early, watch

GIGABYTE = 1e9
FREE_SHARE = 0.9
"""Of the free disk that states may take which training could do without."""


@dataclass(frozen=True)
class Part:
    """Rows whose states are kept, and found again, by themselves."""

    encoded: Encoded
    source: str
    """Where the rows come from, in the user's words."""
    later: bool = False
    """Whether training does without them."""

    def count(self, *, pooled: bool) -> int:
        """How many states a layer has of them."""
        return self.encoded.rows if pooled else len(self.encoded.input_ids)


def cut_parts(encoded: Sequence[Encoded], sets: Sequence[RowSet], tests: Mapping[str, str]) -> tuple[Part, ...]:
    """The sets' rows in order, test rows by themselves where they stand together, as those of a file do.

    `tests`: name of a set -> the file of its test rows, in the user's words.
    """
    return tuple(
        Part(slice_inputs(whole, start, stop), tests.get(part.name, part.source) if later else part.source, later)
        for whole, part in zip(encoded, sets, strict=True)
        for start, stop, later in _find_cuts(whole.rows, part.splits["test"])
    )


def _find_cuts(rows: int, test: np.ndarray) -> Iterator[tuple[int, int, bool]]:
    """(first row, one after the last, whether they are the test rows)."""
    together = len(test) > 0 and int(test[-1] - test[0]) + 1 == len(test)
    edges = [0, int(test[0]), int(test[-1]) + 1, rows] if together else [0, rows]
    for number, (start, stop) in enumerate(pairwise(edges)):
        if start < stop:
            yield start, stop, number == 1


@dataclass(frozen=True)
class HiddenReader:
    """How a run's frozen half reads rows."""

    facts: BackboneFacts
    wanted: tuple[int, ...]
    """The backbone's layers that are asked for."""
    after: tuple[int, ...]
    """Those that are asked for of later parts."""
    device: torch.device
    dtype: torch.dtype
    pooled: bool
    others: tuple[int, ...]
    """Layers that other runs of these rows will read, kept where a pass is made anyway."""
    tell: Callable[[dict[str, Any]], None]
    read_control: ReadControl
    team: Team = SOLO

    def read(self, parts: Sequence[Part], *, trained: bool = False) -> dict[int, States]:
        """Layer -> states, computed or found cached. Before `trained` those of later parts are NaN, which takes no
        memory. Tells progress and note events; raises Interruption.
        """
        rows = sum(part.encoded.rows for part in parts if part.later == trained)
        later = 0 if trained else self._count(part for part in parts if part.later) * len(self.after)
        watched = watch_features(self.tell, self.team.follow(self.read_control))
        lower = cache(lambda: load_lower(self.facts, max([1, *self.wanted, *self.others])))
        hidden, done = [], 0
        for part in parts:
            if part.later and not trained:
                hidden.append(self._make_blank(part))
                continue
            hidden.append(self._compute(part, lower, partial(_tell_part, watched, done, rows), later))
            if part.later == trained:
                done += part.encoded.rows
                if len(parts) > 1:
                    watched(done, rows)
        if not trained:
            self._tell_size(parts, hidden)
        return {layer: join_states([found[layer] for found in hidden]) for layer in hidden[0]}

    def _compute(self, part: Part, lower, progress: Callable[[int, int], None], later: int) -> dict[int, np.ndarray]:
        key = compute_cache_key(self.facts.folder, part.encoded, self.dtype, self.device)
        precision = str(self.dtype).removeprefix("torch.")
        return compute_features(
            lower,
            part.encoded,
            self.wanted,
            folder=get_folder("features") / key,
            device=self.device,
            dtype=self.dtype,
            pooled=self.pooled,
            meta={"backbone": self.facts.name, "data": part.source, "precision": precision},
            progress=progress,
            others=self.others,
            later=later,
            team=self.team,
        )

    def _make_blank(self, part: Part) -> dict[int, np.ndarray]:
        shape = part.count(pooled=self.pooled), self.facts.hidden_size
        return dict.fromkeys(self.wanted, np.broadcast_to(np.float16(np.nan), shape))

    def has_room(self, parts: Sequence[Part]) -> bool:
        """Whether the disk and the cache's limit have room for the states of rows that training reads."""
        states = self._count(part for part in parts if not part.later) * len(self.wanted)
        free = shutil.disk_usage(get_folder("features")).free * FREE_SHARE
        return states * self.facts.hidden_size * np.dtype(np.float16).itemsize <= min(load_limit(), free)

    def _count(self, parts: Iterable[Part]) -> int:
        return sum(part.count(pooled=self.pooled) for part in parts)

    def _tell_size(self, parts: Sequence[Part], hidden: Sequence[Mapping[int, np.ndarray]]) -> None:
        kept = [(found, self.after if part.later else self.wanted) for part, found in zip(parts, hidden, strict=True)]
        needed, limit = sum(found[layer].nbytes for found, layers in kept for layer in layers), load_limit()
        if needed > limit:
            note = build_note("cache_over_limit", needed=needed / GIGABYTE, limit=limit / GIGABYTE)
            self.tell({"kind": "note", **note})


def watch_features(tell: Callable[[dict[str, Any]], None], read_control: ReadControl) -> Callable[[int, int], None]:
    """The progress of all that is done before anything is trained."""
    return watch("features", tell, lambda: heed_early(read_control()))


def _tell_part(watched: Callable[[int, int], None], before: int, rows: int, done: int, total: int) -> None:
    """Progress in one of several parts as progress in all."""
    watched(before + done, rows)
