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

T = TypeVar("T")
CPU = torch.device("cpu")
PLAIN = {
    "input": {"tokens": "tokens"},
    "chain": {"depth": 2, "width": 32},
    "train": {"batch_size": 16, "learning_rate": 5e-3, "precision": "fp32"},
}
"""Sections that go quickly and to the last bit."""


class Ready(NamedTuple):
    material: Material
    model: ChainModel
    feed: Feed

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


def finish(events: Generator[dict, None, T]) -> tuple[list[dict], T]:
    """All events, and what came of them."""
    seen = []
    while True:
        try:
            seen.append(next(events))
        except StopIteration as end:
            return seen, end.value
