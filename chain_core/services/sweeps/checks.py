"""A sweep held against its data and backbones before any run exists: everything that is wrong with any of its runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from chain_core.config import BackboneConfig
from chain_core.data.cells import Note
from chain_core.errors import BackboneError, ChainError
from chain_core.modeling.backbones.catalogue import BackboneFacts
from chain_core.modeling.reads import find_layers_read
from chain_core.services.drafts.checks import Inspection, complete_draft, inspect_draft
from chain_core.services.rows.problems import Problem
from chain_core.services.sweeps.axes import SEED, Axis, apply_values, list_combinations
from chain_core.services.sweeps.sweep import Sweep, check_size

Ask = Callable[[str], BackboneFacts | BackboneError | None]
"""A backbone's name -> its facts, why it cannot be had, or None while a hub is asked."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, and the settings with which it is."""

    path: str
    error: ChainError
    settings: tuple[dict[str, Any], ...]
    """Path -> value of each; none where it is wrong with the sweep itself."""


@dataclass(frozen=True)
class Remark:
    """One thing that comes to nothing, and the settings with which it does."""

    note: Note
    settings: tuple[dict[str, Any], ...]
    """None where it does with all of them."""


@dataclass(frozen=True)
class SweepCheck:
    """What is known of a sweep before it begins."""

    sweep: Sweep
    """With its heads and input inferred, and the layers that its runs read."""
    count: int
    """Runs that it comes to; 0 where that cannot be told."""
    findings: tuple[Finding, ...]
    combinations: tuple[dict[str, Any], ...]
    """The settings of a grid that nothing is wrong with, in order."""
    seconds: float | None
    """Of all runs, one after the other, as their plans have it; None where one of them is not known."""
    remarks: tuple[Remark, ...] = ()


def check_sweep(sweep: Sweep, ask: Ask, gflops: float | None = None) -> SweepCheck:
    """Every run of a grid is inspected; of a search the base, and each axis' ends and choices one at a time."""
    try:
        count = check_size(sweep)
    except ChainError as error:
        return SweepCheck(sweep, 0, (Finding(find_path(error), error, ()),), (), None)
    folder = Path(sweep.folder)
    sweep = replace(sweep, base=complete_draft(sweep.base, folder))
    inspect = _Inspector(sweep, folder, ask, gflops)
    settings = list_combinations(sweep.axes) if sweep.kind == "grid" else list(_list_ends(sweep.axes))
    wrong: dict[str, Finding] = {}
    idle: dict[str, Remark] = {}
    fine, seconds = [], []
    layers: set[int] = set()
    for params in settings:
        problems, inspection = inspect(params)
        for problem in problems:
            key = f"{problem.path}: {problem.error}"
            found = wrong.get(key) or Finding(problem.path, problem.error, ())
            wrong[key] = replace(found, settings=(*found.settings, params))
        if not problems and inspection is not None and inspection.plan is not None and inspection.built is not None:
            fine.append(params)
            for note in inspection.notes:
                known = idle.get(json.dumps(note)) or Remark(note, ())
                idle[json.dumps(note)] = replace(known, settings=(*known.settings, params))
            seconds.append(inspection.plan.seconds)
            layers.update(find_layers_read(inspection.built, inspection.plan.num_layers))
    sweep = replace(sweep, layers=tuple(sorted(layers)))
    kept = tuple(fine) if sweep.kind == "grid" else ()
    remarks = (replace(it, settings=() if len(it.settings) == len(fine) else it.settings) for it in idle.values())
    return SweepCheck(sweep, count, tuple(wrong.values()), kept, _add(seconds, count), tuple(remarks))


def find_path(error: ChainError) -> str:
    """The key that an error belongs to; "" where it belongs to none."""
    return str(error.params.get("path", ""))


def _add(seconds: Sequence[float | None], count: int) -> float | None:
    """The sum; of a search the mean for each of its trials."""
    known = [value for value in seconds if value is not None]
    if not known or len(known) < len(seconds):
        return None
    return sum(known) / len(known) * count


def _list_ends(axes: Sequence[Axis]) -> Iterator[dict[str, Any]]:
    yield {}
    for axis in axes:
        for value in axis.values or _round_ends(axis):
            yield {axis.path: value}


def _round_ends(axis: Axis) -> tuple[float, ...]:
    ends = (axis.low or 0, axis.high or 0)
    return tuple(int(end) for end in ends) if axis.whole else ends


class _Inspector:
    """Problems and plan of one setting; runs that differ in nothing but their seed are inspected once."""

    def __init__(self, sweep: Sweep, folder: Path, ask: Ask, gflops: float | None) -> None:
        self._sweep, self._folder, self._ask, self._gflops = sweep, folder, ask, gflops
        self._known: dict[str, tuple[list[Problem], Inspection | None]] = {}

    def __call__(self, params: Mapping[str, Any]) -> tuple[list[Problem], Inspection | None]:
        key = json.dumps({path: value for path, value in params.items() if not _is_seed(path, value)}, default=str)
        if key not in self._known:
            self._known[key] = self._inspect(params)
        return self._known[key]

    def _inspect(self, params: Mapping[str, Any]) -> tuple[list[Problem], Inspection | None]:
        try:
            mapping = apply_values(self._sweep.base, params)
        except ChainError as error:
            return [Problem(find_path(error), error)], None
        backbone = mapping.get("backbone")
        name = backbone.get("name") if isinstance(backbone, Mapping) else None
        answer = self._ask(name if isinstance(name, str) else BackboneConfig().name)
        if isinstance(answer, BackboneError):
            return [Problem("backbone.name", answer)], None
        inspection = inspect_draft(mapping, self._folder, answer, self._gflops)
        return list(inspection.problems), inspection


def _is_seed(path: str, value: Any) -> bool:
    return path == SEED and isinstance(value, int) and value >= 0
