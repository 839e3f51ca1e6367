"""A sweep without a store: its runs one after the other in this process, each in a folder of its own.

DIR/sweep.json  000/  001/  …
What is tried is written down before it is begun, and how it ended is read from its run's own events: so a sweep that
was interrupted anywhere goes on with the same command, and repeats no run that has ended.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from chain_core.errors import ChainError, RunError
from chain_core.services.runs.checkpoint_names import prune_checkpoints
from chain_core.services.runs.event_log import read_told
from chain_core.services.store.curves import compute_progress
from chain_core.services.sweeps.checks import SweepCheck
from chain_core.services.sweeps.results import Row, build_row, compute_settings, find_best_setting
from chain_core.services.sweeps.study import find_losers, suggest
from chain_core.services.sweeps.sweep import Sweep, Trial, build_config
from chain_core.storage.drafts import write_whole

NAME = "sweep.json"
Execute = Callable[..., dict[str, Any]]
Tell = Callable[[dict[str, Any]], None]
_ALL = 10**9


class LocalSweep:
    """`run()` yields each run's number as it begins; `rows` are what is known so far."""

    def __init__(self, check: SweepCheck, out: Path) -> None:
        """Raises RunError where `out` holds another sweep."""
        self.sweep, self._out = check.sweep, out
        self._entries: list[dict[str, Any]] = _load(out, self.sweep)
        untried = _list_untried(check.combinations, self._entries)
        self._untried = iter(untried)
        """Of a grid, in order."""
        self.total = len(self._entries) + len(untried) if self.sweep.kind == "grid" else self.sweep.count
        self._known: dict[int, tuple[Trial, Row]] = {}
        self.errors: dict[int, ChainError] = {}

    @property
    def rows(self) -> list[Row]:
        return [self._read(number)[1] for number in range(len(self._entries))]

    def run(self, execute: Execute, tell: Tell, read_control: Callable[[], str]) -> Iterator[tuple[int, str]]:
        """Number and name of each run, just before it begins. Raises Interruption where `read_control` asks for it."""
        for number in range(self.total):
            if number == len(self._entries):
                params = self._choose(number)
                if params is None:
                    break
                self._entries.append({"params": params})
            if self._read(number)[0].ended:
                continue
            self._save()
            self._known.pop(number, None)
            try:
                config = build_config(self.sweep, self._entries[number]["params"])
                yield number, config.name
                execute(
                    config, self._find(number), folder=Path(self.sweep.folder), emit=self._watch(number, tell),
                    read_control=lambda number=number: read_control() or self._ask_stop(number),
                    resume=True, layers=self.sweep.layers,
                )  # fmt: skip
                if self._read(number)[0].state == "finished":
                    prune_checkpoints(self._find(number), 0)
            except ChainError as error:
                self.errors[number] = error
            self._save()
        self._save()

    def _choose(self, number: int) -> Mapping[str, Any] | None:
        if self.sweep.kind == "grid":
            return next(self._untried, None)
        return suggest(self.sweep, [self._read(earlier)[0] for earlier in range(number)])

    def _find(self, number: int) -> Path:
        return self._out / f"{number:03d}"

    def _ask_stop(self, number: int) -> str:
        return "stop" if self._entries[number].get("pruned") else ""

    def _watch(self, number: int, tell: Tell) -> Tell:
        """Passes events on; after each epoch the pruner is asked."""
        told: list[dict[str, Any]] = []

        def watch(event: dict[str, Any]) -> None:
            if event["kind"] == "resumed":
                told[:] = read_told(self._find(number), 0, event["events"])
            if event["kind"] == "epoch":
                told.append(event)
                self._prune(number, told)
            tell(event)

        return watch

    def _prune(self, number: int, told: list[dict[str, Any]]) -> None:
        if self.sweep.kind == "grid" or self._entries[number].get("pruned"):
            return
        trials = [self._read(earlier)[0] for earlier in range(number)]
        now = Trial(number, self._entries[number]["params"], "running", None, _list_scores(told))
        if number in find_losers(self.sweep, [*trials, now]):
            self._entries[number]["pruned"] = True
            self._save()

    def _read(self, number: int) -> tuple[Trial, Row]:
        """One trial as its folder tells it; kept once it has ended."""
        if number in self._known:
            return self._known[number]
        entry = self._entries[number]
        events = read_told(self._find(number), 0, _ALL)
        progress = compute_progress({}, events)
        state = "failed" if number in self.errors else "waiting"
        if progress.get("reason") == "stopped":
            state = "pruned" if entry.get("pruned") else "waiting"
        elif progress.get("reason"):
            state = "finished"
        score = progress.get("score")
        trial = Trial(number, entry["params"], state, score, _list_scores(events))
        found = trial, build_row(number, entry["params"], state, score, progress)
        if trial.ended:
            self._known[number] = found
        return found

    def _save(self) -> None:
        """All that is known, for who reads the file and for who goes on from it."""
        self._out.mkdir(parents=True, exist_ok=True)
        rows = self.rows
        best = find_best_setting(compute_settings(rows))
        content = {
            "sweep": self.sweep.to_json(),
            "trials": self._entries,
            "runs": [_describe(row, self._find(row.number).name) for row in rows],
            "best": None if best is None else {"settings": best.params, "score": best.score, "runs": best.numbers},
        }
        write_whole(self._out / NAME, json.dumps(content, indent=1, ensure_ascii=False))


def _load(out: Path, sweep: Sweep) -> list[dict[str, Any]]:
    path = out / NAME
    if not path.is_file():
        return []
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        before, entries = content["sweep"], content["trials"]
    except (OSError, ValueError, KeyError) as error:
        raise RunError("sweep_unreadable", file=str(path), reason=type(error).__name__) from None
    if _identify(before) != _identify(json.loads(json.dumps(sweep.to_json()))):
        raise RunError("sweep_other", folder=str(out))
    return entries


def _identify(sweep: Mapping[str, Any]) -> dict[str, Any]:
    """What makes it this sweep: a search may make more trials, and which layers are read depends on what can be trained
    today."""
    return {key: value for key, value in sweep.items() if key not in ("count", "layers")}


def _list_untried(
    combinations: Iterable[Mapping[str, Any]], entries: Iterable[Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    """Those that no entry stands for: which of a grid can be trained may differ from one day to the next."""
    tried = {json.dumps(entry["params"]) for entry in entries}  # as text, 1 and true are two values
    return [params for params in combinations if json.dumps(params) not in tried]


def _list_scores(events: list[dict[str, Any]]) -> tuple[tuple[int, float], ...]:
    return tuple(
        (int(event["epoch"]), event["score"])
        for event in events
        if event["kind"] == "epoch" and event.get("score") is not None and event.get("objective", "tasks") == "tasks"
    )


def _describe(row: Row, folder: str) -> dict[str, Any]:
    return {
        "folder": folder, "settings": dict(row.params), "state": row.state, "score": row.score,
        "seconds": row.seconds, "trainable": row.trainable, row.split: {
            head: {metric: value} for head, (metric, value) in row.heads.items()
        },
    }  # fmt: skip
