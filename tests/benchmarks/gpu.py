"""Tokens a second, and how much of the machine's matrix-product peak is used, with a backbone of any shape.

The weights are random and the rows made up: speed does not depend on them. Imports neither streamlit nor datasets.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.benchmarks.products import ProductCounter, measure_peak, wait

SHAPES: dict[str, dict[str, int]] = {
    "tiny": {"num_hidden_layers": 2, "hidden_size": 64, "num_attention_heads": 2, "intermediate_size": 128},
    "minilm": {"num_hidden_layers": 6, "hidden_size": 384, "num_attention_heads": 12, "intermediate_size": 1536},
    "base": {"num_hidden_layers": 12, "hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 3072},
    "large": {"num_hidden_layers": 24, "hidden_size": 1024, "num_attention_heads": 16, "intermediate_size": 4096},
}
VOCABULARY = 30_522
WORDS = 20_000
MODES = ("features", "frozen", "lora", "full")
"""The frozen backbone alone; a chain on its kept states; a chain over LoRA in all layers; over all layers in full."""
SHORTEST = 4
"""The shortest row has so many times fewer tokens than the longest."""


@dataclass(frozen=True)
class Batches:
    """Made-up rows, cut into batches of like length."""

    feed: Any
    parts: list[np.ndarray]

    @property
    def tokens(self) -> int:
        return int(sum(self.feed.encoded.lengths[part].sum() for part in self.parts))


def measure_speeds(shape: str, batch: int | None, length: int, steps: int, device: str = "auto") -> dict[str, Any]:
    """Each of MODES: tokens a second (padding not counted), multiply-adds a token, share of the peak."""
    from chain_core.modeling.device import choose_device, choose_precision

    place = choose_device(device)
    dtype = choose_precision("auto", place)
    batch = batch or (128 if place.type == "cuda" else 16)
    peak = measure_peak(place, dtype, 512 if shape == "tiny" else None)
    with tempfile.TemporaryDirectory() as folder:
        save_backbone(Path(folder), shape)
        modes = {mode: _measure(Path(folder), mode, batch, length, steps, place, dtype) for mode in MODES}
    for speed in modes.values():
        speed["share"] = speed["multiply_adds_per_second"] / peak
    name = torch.cuda.get_device_name(place) if place.type == "cuda" else place.type
    return {
        "shape": shape, **SHAPES[shape], "device": name, "precision": str(dtype).removeprefix("torch."), "batch": batch,
        "length": length, "steps": steps, "peak_multiply_adds_per_second": peak, "modes": modes,
        "torch": torch.__version__, "threads": torch.get_num_threads(),
    }  # fmt: skip


def save_backbone(folder: Path, shape: str) -> None:
    """A BERT of this shape with random weights."""
    from transformers import AutoConfig, AutoModel

    torch.manual_seed(0)
    AutoModel.from_config(AutoConfig.for_model("bert", vocab_size=VOCABULARY, **SHAPES[shape])).save_pretrained(folder)


def _measure(folder: Path, mode: str, batch: int, length: int, steps: int, device, dtype) -> dict[str, float]:
    config, tasks, facts = build_run(folder, mode, length)
    from chain_core.modeling.model import build_model, load_lower

    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    if mode == "features":
        lower = load_lower(facts, facts.num_layers).to(device)
        batches = make_batches(tasks, {}, batch, length, steps)
        figures = _time(batches, _build_forward(lower, device, dtype), device)
    else:
        model = build_model(config, tasks, facts).to(device)
        width = facts.hidden_size
        layers = dict.fromkeys(model.cached_layers, width)
        batches = make_batches(tasks, layers, batch, length, steps)
        figures = _time(batches, _build_step(model, config, device, dtype), device)
        figures["trainable"] = sum(p.numel() for p in model.parameters() if p.requires_grad)
    if device.type == "cuda":
        figures["memory_mb"] = torch.cuda.max_memory_allocated(device) / 1e6
    return figures


def build_run(folder: Path, mode: str, length: int):
    """Config, tasks and facts of a chain with three attention links, one head that tags and one that classifies."""
    from chain_core.config import resolve_config
    from chain_core.data.task import Task
    from chain_core.modeling.backbones.catalogue import read_facts

    tags, topics = ("O", "B-x", "I-x"), ("a", "b", "c", "d")
    config = resolve_config(
        {
            "data": {"train": "none"},
            "input": {"tokens": "tokens", "max_length": length},
            "backbone": {"name": str(folder), "tuning": "frozen" if mode == "features" else mode},
            "chain": {"depth": 3, "width": 256, "links": {"kind": "attention"}, "lexical": "off"},
            "heads": {
                "tags": {"kind": "tagging", "column": "tags"}, "topic": {"kind": "classification", "column": "topic"},
            },
            "train": {"learning_rate": 1e-4, "backbone_learning_rate": 1e-5},
        }
    )  # fmt: skip
    tasks = (Task("tags", "tagging", "tags", tags), Task("topic", "classification", "topic", topics))
    return config, tasks, read_facts(str(folder))


def make_batches(tasks, layers: dict[int, int], batch: int, length: int, steps: int) -> Batches:
    """Rows of length / SHORTEST … length tokens, each token a word; random labels; random states where asked for."""
    import pyarrow as pa

    from chain_core.data.encode import encode_texts
    from chain_core.data.text import Texts
    from chain_core.training.feed import Feed
    from chain_core.training.sampling import sample_batches

    random = np.random.default_rng(0)
    count = batch * steps
    words = random.integers(max(length // SHORTEST, 3), length + 1, count) - 2  # without the special tokens
    names = np.array([f"w{number}" for number in range(WORDS)])
    texts = [names[random.integers(0, WORDS, size)].tolist() for size in words]
    encoded = encode_texts(Texts("tokens", pa.array(texts)), build_tokenizer(), length)
    labels = {
        "tags": (random.integers(0, len(tasks[0].label_space), int(words.sum())), encoded.word_offsets),
        "topic": random.integers(0, len(tasks[1].label_space), count),
    }
    total = len(encoded.input_ids)
    hidden = {
        layer: random.standard_normal((total, width), np.float32).astype(np.float16) for layer, width in layers.items()
    }
    rows = np.arange(count)
    feed = Feed(encoded, hidden, False, {}, labels, {"train": rows})
    return Batches(feed, sample_batches(encoded.lengths, rows, batch, random))


def build_tokenizer():
    """Each of WORDS made-up words is one token, between two special ones."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    tokenizer = Tokenizer(models.WordLevel({"[CLS]": 0, "[SEP]": 1, **{f"w{n}": n + 2 for n in range(WORDS)}}, "[SEP]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 0), ("[SEP]", 1)]
    )
    return tokenizer


def _build_forward(lower, device, dtype):
    from chain_core.modeling.device import autocast

    @torch.inference_mode()
    def forward(batch) -> None:
        there = batch.to(device)
        with autocast(device, dtype):
            lower(there.mask, there.input_ids, there.token_type_ids)

    return forward


def _build_step(model, config, device, dtype):
    from chain_core.training.optimiser import build_optimiser
    from chain_core.training.scaling import LossScale
    from chain_core.training.step import take_step

    optimiser, scale = build_optimiser(model, config.train, dtype), LossScale(dtype)
    model.train()

    def step(batch) -> None:
        take_step(model, batch, config, optimiser, device, dtype, scale=scale)

    return step


def _time(batches: Batches, call, device) -> dict[str, float]:
    """The second pass over all batches is timed; the third counts products."""
    feed, parts = batches.feed, batches.parts
    for part in parts[: max(2, len(parts) // 4)]:
        call(feed.build_batch(part))
    wait(device)
    before = time.perf_counter()
    for part in parts:
        call(feed.build_batch(part))
    wait(device)
    seconds = time.perf_counter() - before
    with ProductCounter() as counter:
        for part in parts:
            call(feed.build_batch(part))
    return {
        "tokens_per_second": batches.tokens / seconds,
        "seconds": seconds,
        "multiply_adds_per_token": counter.multiply_adds / batches.tokens,
        "multiply_adds_per_second": counter.multiply_adds / seconds,
    }


def format_speeds(speeds: dict[str, Any]) -> str:
    """What is printed."""
    lines = [
        f"{speeds['shape']}: {speeds['num_hidden_layers']} layers of {speeds['hidden_size']}, {speeds['device']}, "
        f"{speeds['precision']}, batches of {speeds['batch']} rows up to {speeds['length']} tokens",
        f"matrix-product peak: {2 * speeds['peak_multiply_adds_per_second'] / 1e12:.2f} TFLOP/s",
    ]
    for mode, figures in speeds["modes"].items():
        memory = f", {figures['memory_mb']:,.0f} MB at most" if "memory_mb" in figures else ""
        lines.append(
            f"{mode:9} {figures['tokens_per_second']:>12,.0f} tokens a second, "
            f"{figures['share']:6.1%} of the peak{memory}"
        )
    return "\n".join(lines)
