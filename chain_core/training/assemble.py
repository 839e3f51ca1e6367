"""From a run's rows to its feed: encoded, the frozen half's states computed or found cached, labels as numbers."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from chain_core.config import Config
from chain_core.data.cells import build_note
from chain_core.data.encode import Encoded, find_reach
from chain_core.data.encoded_files import load_encoded
from chain_core.data.labels import read_gold
from chain_core.data.schema import Task
from chain_core.data.text import Texts
from chain_core.modeling.catalogue import BackboneFacts, compute_tokenizer_key, load_tokenizer
from chain_core.modeling.features import compute_cache_key, compute_features
from chain_core.modeling.model import ChainModel, load_lower
from chain_core.modeling.reads import needs_places, needs_positions
from chain_core.paths import get_folder
from chain_core.storage.entries import load_limit
from chain_core.training.feed import Feed, Labels, encode_all_labels

Emit = Callable[[dict[str, Any]], None]
EVERY_SECONDS = 0.2
"""At most so often a progress event."""
GIGABYTE = 1e9


class Stopped(Exception):
    """The user stopped the run before it had trained anything."""


@dataclass(frozen=True)
class Material:
    """Everything of a run that is known before anything is computed."""

    config: Config
    table: pa.Table
    texts: Texts
    tasks: tuple[Task, ...]
    splits: Mapping[str, np.ndarray]
    facts: BackboneFacts
    notes: tuple[dict[str, Any], ...]


def build_feed(
    material: Material,
    model: ChainModel,
    device: torch.device,
    dtype: torch.dtype,
    tell: Emit,
    should_stop: Callable[[], bool],
) -> Feed:
    """All rows ready to be cut into batches. Tells phase, note and progress events; raises Stopped."""
    config = material.config
    tell({"kind": "phase", "phase": "features"})
    progress = _watch(tell, should_stop)
    encoded = _encode(material, tell, progress)
    pooled = not needs_positions(config)
    hidden = _read_hidden(material, model, encoded, device, dtype, pooled, tell, progress)
    gold = {task.name: read_gold(material.table, task) for task in material.tasks}
    labels = drop_cut_labels(encode_all_labels(gold, material.tasks), encoded, material, tell)
    return Feed(encoded, hidden, pooled, gold, labels, material.splits, material.texts)


def drop_cut_labels(labels: dict[str, Labels], encoded: Encoded, material: Material, tell: Emit) -> dict[str, Labels]:
    """The labels without those whose answer or spans stand beyond what was read: no position could learn them."""
    kept = dict(labels)
    for task in material.tasks:
        if task.kind not in ("span", "relation") or not encoded.truncated:
            continue
        values = np.asarray(labels[task.name])
        if task.kind == "span":
            needed = values[:, 1]
            reach = find_reach(encoded, 0 if material.texts.second is None else 1)
        else:
            needed = material.texts.spans[task.name].max(1)
            reach = find_reach(encoded, 0)
        cut = needed > reach
        if cut.any():
            kept[task.name] = np.where(cut[:, None] if values.ndim > 1 else cut, -1, values)
            tell({"kind": "note", "code": "spans_cut", "params": {"head": task.name, "rows": int(cut.sum())}})
    return kept


def _encode(material: Material, tell: Emit, progress: Callable[[int, int], None]) -> Encoded:
    config, facts = material.config, material.facts
    max_length = config.input.max_length or facts.max_length
    encoded = load_encoded(
        material.texts,
        compute_tokenizer_key(facts.folder),
        lambda: load_tokenizer(facts.folder),
        max_length,
        lexical=config.uses_lexical,
        places=needs_places(config),
        meta=_describe(material),
        progress=progress,
    )
    if encoded.truncated:
        params = {"rows": encoded.truncated, "max_length": max_length}
        tell({"kind": "note", "code": "texts_truncated", "params": params})
    return encoded


def _read_hidden(material, model, encoded, device, dtype, pooled, tell, progress) -> dict[int, np.ndarray]:
    """Layer -> states of the frozen half, as the model needs them."""
    facts = material.facts
    hidden = compute_features(
        lambda: load_lower(facts, model.base),
        encoded,
        model.cached_layers,
        folder=get_folder("features") / compute_cache_key(facts.folder, encoded, dtype, device),
        device=device,
        dtype=dtype,
        pooled=pooled,
        meta={**_describe(material), "precision": str(dtype).removeprefix("torch.")},
        progress=progress,
    )
    needed, limit = sum(states.nbytes for states in hidden.values()), load_limit()
    if needed > limit:
        tell({"kind": "note", **build_note("cache_over_limit", needed=needed / GIGABYTE, limit=limit / GIGABYTE)})
    return hidden


def _describe(material: Material) -> dict[str, Any]:
    """What a cache's entry keeps for people to read."""
    return {"backbone": material.facts.name, "data": material.config.data.train}


def _watch(tell: Emit, should_stop: Callable[[], bool]) -> Callable[[int, int], None]:
    """What a long computation calls with (done, total): tells it now and then, raises Stopped when asked to."""
    last = time.perf_counter()

    def progress(done: int, total: int) -> None:
        nonlocal last
        if should_stop():
            raise Stopped
        if time.perf_counter() - last > EVERY_SECONDS or done == total:
            last = time.perf_counter()
            tell({"kind": "progress", "phase": "features", "done": done, "total": total})

    return progress
