"""What a run has ready when its training begins, and its training to the end."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch

from chain_core.config import resolve_config
from chain_core.modeling.model import ChainModel, build_model
from chain_core.services.rows.prepare import Material, prepare_run
from chain_core.training.assemble import FeedBuilder
from chain_core.training.control import ask_nothing
from chain_core.training.feed import Feed
from chain_core.training.loop import train
from chain_core.training.outcome import Outcome
from tests.tiny import build_commands, write_rows

T = TypeVar("T")
CPU = torch.device("cpu")
PLAIN = {
    "input": {"tokens": "tokens"},
    "chain": {"depth": 2, "width": 32},
    "train": {"batch_size": 16, "learning_rate": 5e-3, "precision": "fp32"},
}
"""Sections that go quickly and to the last bit."""
FILES = {"train": "train.jsonl", "validation": "validation.jsonl", "test": "test.jsonl"}
"""What `write_files` writes, as the config's `data`."""


def write_files(folder: Path) -> list[dict]:
    """50 rows to train on, 14 to validate with, 16 to test with; the last."""
    rows = build_commands(80)
    for name, part in (("train", rows[:50]), ("validation", rows[50:64]), ("test", rows[64:])):
        write_rows(folder / FILES[name], part)
    return rows[64:]


class Ready(NamedTuple):
    material: Material
    model: ChainModel
    feed: Feed

    def get_builder(self, tell: Callable[[dict[str, Any]], None] = lambda event: None) -> FeedBuilder:
        return FeedBuilder(self.material, self.model, CPU, torch.float32, tell, ask_nothing)

    def train(self, read_control: Callable[[], str] = ask_nothing, **options: Any) -> Generator[dict, None, Outcome]:
        """`training.loop.train` in fp32 on the CPU."""
        material = self.material
        return train(
            self.model, self.feed, material.tasks, material.config, CPU, torch.float32, read_control, **options
        )


def get_ready(
    mapping: Mapping[str, Any],
    folder: Path,
    read_control: Callable[[], str] = ask_nothing,
    tell: Callable[[dict[str, Any]], None] = lambda event: None,
) -> Ready:
    """Rows read, model built, features computed."""
    material = prepare_run(resolve_config(mapping), folder)
    model = build_model(material.config, material.tasks, material.facts)
    feed = FeedBuilder(material, model, CPU, torch.float32, tell, read_control).build()
    return Ready(material, model, feed)


def get_staged(mapping: Mapping[str, Any], folder: Path) -> tuple[Ready, dict[int, Feed]]:
    """As `get_ready`, and the rows of stages that do not read its feed as it is."""
    ready = get_ready(mapping, folder)
    return ready, ready.get_builder().build_stages(ready.feed)


def finish(events: Generator[dict, None, T]) -> tuple[list[dict], T]:
    """All events, and what came of them."""
    seen = []
    while True:
        try:
            seen.append(next(events))
        except StopIteration as end:
            return seen, end.value
