"""How near a chain's epoch comes to its bare matrix products.

The products of one epoch are counted as they run, replayed by themselves in the same order, shapes, layouts and
precision, and set beside the epoch's real time: collation, norms, dropout, losses, optimiser and all.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.benchmarks.jobs import Job
from tests.benchmarks.measure import describe_machine
from tests.benchmarks.products import ProductCounter, time_products, wait
from tests.benchmarks.rows import read_rows, write_splits

TARGET = 1 / 3
EPOCHS = 3
"""Timed; the fastest counts, as it does for the bare products."""


def measure_rate(data: str, backbone: str, out: Path, rows: int | None, overrides: list[str]) -> dict[str, Any]:
    """One training epoch of preset `fast`, or of what `overrides` make of it."""
    from chain_core.config import apply_overrides, resolve_config
    from tests.benchmarks.run_chain import build_mapping

    folder = out / "work" / f"rate-{data}"
    os.environ["CHAIN_HOME"] = str(out / "work" / "home-rate")
    write_splits(read_rows(data, (rows, rows, rows) if rows else None), folder)
    mapping = build_mapping(Job("rate", data, "rate", 0, "chain", {"preset": "fast"}, backbone=backbone))
    config = resolve_config(apply_overrides(mapping, overrides))
    epoch = Epoch(config, folder)
    epoch.run()
    with ProductCounter() as counter:
        epoch.run()
    seconds = min(epoch.run() for _ in range(EPOCHS))
    bare = time_products(counter.products, epoch.device)
    return {
        "name": "-".join(["fast", *(override.replace("/", "_") for override in overrides)]),
        "data": data,
        "rows": len(epoch.rows),
        "steps": epoch.steps,
        "precision": str(epoch.dtype).removeprefix("torch."),
        "products": len(counter.products),
        "multiply_adds": counter.multiply_adds,
        "bare_seconds": bare,
        "epoch_seconds": seconds,
        "validation_seconds": epoch.validate(),
        "share": bare / seconds,
        "target": TARGET,
        "machine": describe_machine(),
    }


class Epoch:
    """A chain made ready as a run makes it, whose training epoch can be run again and again."""

    def __init__(self, config: Any, folder: Path) -> None:
        from chain_core.modeling.device import choose_device, choose_precision
        from chain_core.modeling.model import build_model
        from chain_core.services.rows.prepare import prepare_run
        from chain_core.training.assemble import FeedBuilder
        from chain_core.training.optimiser import build_optimiser
        from chain_core.training.scaling import LossScale

        material = prepare_run(config, folder)
        self.config, self.tasks = material.config, material.tasks
        self.device = choose_device(config.train.device)
        self.dtype = choose_precision(config.train.precision, self.device)
        self.model = build_model(self.config, material.tasks, material.facts)
        builder = FeedBuilder(material, self.model, self.device, self.dtype, lambda event: None, lambda: "")
        self.feed = builder.build()
        self.model.to(self.device)
        self.optimiser = build_optimiser(self.model, self.config.train, self.dtype)
        self.scale = LossScale(self.dtype)
        self.rows = self.feed.splits["train"]
        self.lengths = np.ones(self.feed.encoded.rows, np.int64) if self.feed.pooled else self.feed.encoded.lengths
        self.steps = 0

    def run(self) -> float:
        """Seconds of one epoch over the same batches in the same order."""
        from chain_core.training.sampling import sample_batches
        from chain_core.training.step import take_step

        self.model.train()
        wait(self.device)
        before = time.perf_counter()
        self.steps = 0
        size = self.config.train.get_batch_size(len(self.rows))
        batches = sample_batches(self.lengths, self.rows, size, np.random.default_rng(0))
        for rows in batches:
            batch = self.feed.build_batch(rows)
            take_step(self.model, batch, self.config, self.optimiser, self.device, self.dtype, scale=self.scale)
            self.steps += 1
        wait(self.device)
        return time.perf_counter() - before

    @torch.inference_mode()
    def validate(self) -> float:
        """Seconds of scoring the validation rows, as after each epoch."""
        from chain_core.training.evaluate import compute_answers, compute_scores

        before = time.perf_counter()
        answers = compute_answers(self.model, self.feed, self.feed.splits["validation"], self.device, self.dtype)
        compute_scores(answers, self.tasks, self.feed.gold)
        return time.perf_counter() - before


def format_rate(rate: dict[str, Any]) -> str:
    """What is printed."""
    billion = rate["multiply_adds"] / 1e9
    verdict = "met" if rate["share"] >= rate["target"] else "missed"
    return "\n".join(
        [
            f"{rate['data']}, {rate['name']}: {rate['rows']} rows, {rate['steps']} steps, {rate['precision']}",
            f"matrix products: {rate['products']:,}, {billion:.2f} billion multiply-adds",
            f"bare:  {rate['bare_seconds']:.3f} s, {billion / rate['bare_seconds']:.1f} billion a second",
            f"epoch: {rate['epoch_seconds']:.3f} s, {billion / rate['epoch_seconds']:.1f} billion a second"
            f" (and {rate['validation_seconds']:.3f} s of validation)",
            f"share: {rate['share']:.2f}, at least {rate['target']:.2f} wanted: {verdict}",
        ]
    )
