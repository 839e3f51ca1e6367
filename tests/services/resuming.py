"""Runs that are left off and taken up again, and what must then be as if they never had been."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import torch
from safetensors.torch import load_file

from chain_core.config import resolve_config
from chain_core.services.runs.execute import execute_run
from chain_core.training.control import Interruption, Paused

TIMES = ("seconds", "rows_per_second", "memory")


def run(folder: Path, mapping: dict, name: str, events: list[dict] | None = None, **options: Any) -> list[dict]:
    """Execute a config; the events as they were told, put into `events` as they are."""
    events = [] if events is None else events
    execute_run(resolve_config(mapping), folder / name, folder=folder, emit=events.append, **options)
    return events


def pause_at(call: int) -> Callable[[], str]:
    """A control that asks for a pause when it is read for that time, 0 the first."""
    calls = count()
    return lambda: "pause" if next(calls) >= call else ""


def interrupt(
    folder: Path, mapping: dict, name: str, word: str = "pause", steps: int = 3, **options: Any
) -> list[dict]:
    """Execute a config, asking for `word` after so many steps; the events until it left off."""
    events: list[dict] = []

    def read() -> str:
        return word if sum(event["kind"] == "step" for event in events) >= steps else ""

    with suppress(Interruption):
        run(folder, mapping, name, events, read_control=read, **options)
    return events


def drop_times(value: Any) -> Any:
    """A value without what differs from one run to the next."""
    if isinstance(value, dict):
        return {key: drop_times(inner) for key, inner in value.items() if key not in TIMES}
    return [drop_times(inner) for inner in value] if isinstance(value, list) else value


def count_calls(folder: Path, mapping: dict, name: str) -> int:
    """Execute a config untouched; how often it reads its control once its features are cached."""
    run(folder, mapping, name)
    calls = count()

    def read() -> str:
        next(calls)
        return ""

    run(folder, mapping, name, read_control=read)
    return next(calls)


def run_with_pauses(folder: Path, mapping: dict, name: str, calls: Iterator[int]) -> int:
    """Execute a config, pausing its attempts at these calls, one each; how many pauses there were."""
    for pauses, call in enumerate(calls):
        try:
            run(folder, mapping, name, read_control=pause_at(call), resume=pauses > 0)
        except Paused:
            continue
        return pauses
    run(folder, mapping, name, resume=True)
    return pauses + 1


def read_log(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "events.jsonl").read_text(encoding="utf-8").splitlines()]


def assert_same_run(first: Path, second: Path) -> None:
    """Weights, predictions, figures and the course of training are the same, bit for bit."""
    weights = [load_file(folder / "model" / "chain.safetensors") for folder in (first, second)]
    assert list(weights[0]) == list(weights[1])
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())
    for split in ("validation", "test"):
        tables = [pq.read_table(folder / "predictions" / f"{split}.parquet") for folder in (first, second)]
        assert tables[0].equals(tables[1])
    reports = [json.loads((folder / "report.json").read_text()) for folder in (first, second)]
    assert drop_times(reports[0]) == drop_times(reports[1])
    courses = [
        [e for e in read_log(folder) if e["kind"] in ("stage", "step", "epoch", "note")] for folder in (first, second)
    ]
    assert drop_times(courses[0]) == drop_times(courses[1])
