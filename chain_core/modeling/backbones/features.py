"""What a frozen (half of a) backbone gives for every row, computed once and kept on disk, memory-mapped.

A cache is a folder named by its content: the backbone's weights, the rows' token ids, the precision. Inside, one file a
layer, so that chains of any depth and taps share them: `layer-6.npy` (S, H) states of all tokens, `pooled-6.npy`
(N, H) means over each row's tokens. A file lies elsewhere until it is whole, and its folder is leased while it is in
use (see `chain_core.storage`).
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch

from chain_core.data.encode import Encoded, make_offsets
from chain_core.errors import ResourceError
from chain_core.modeling.backbones.backbone import Backbone
from chain_core.modeling.backbones.catalogue import compute_weights_key
from chain_core.modeling.backbones.passes import HalfOverflow, run_passes
from chain_core.modeling.backbones.repeats import LARGEST_GROUP, find_equal
from chain_core.modeling.backbones.shards import write_shards
from chain_core.modeling.batch import list_places
from chain_core.modeling.team import SOLO, Team
from chain_core.storage.disk import reserve
from chain_core.storage.entries import make_room, touch_entry
from chain_core.storage.leases import read_leased

VERSION = 3
"""Of what is kept of a pass: a change computes again. 3: a causal backbone's vector is its last position, and more
families are known to be causal."""
TOKENS_PER_BATCH = 4096
TOKENS_ON_CPU = 1024
"""Fewer there: what a layer makes of them still lies in the processor's cache when the next product reads it."""
SPARE_ROWS = 100_000
"""Up to so many vectors of all layers together are kept though only some layers are asked for: 80 MB of width 384."""


def compute_features(
    load_lower: Callable[[], Backbone],
    encoded: Encoded,
    layers: Sequence[int],
    *,
    folder: Path,
    device: torch.device,
    dtype: torch.dtype,
    pooled: bool,
    meta: Mapping[str, Any],
    progress: Callable[[int, int], None],
    others: Sequence[int] = (),
    later: int = 0,
    team: Team = SOLO,
) -> dict[int, np.ndarray]:
    """Layer -> memory-mapped states, (S, H), or vectors, (N, H), of all rows; only what is missing is computed, of rows
    that read the same once.

    `load_lower` is called only then. `others`: layers that somebody else will ask for, kept where a pass is made
    anyway. `meta` is kept for people to read. `progress(rows done, rows)` may raise to stop. `later`: states or vectors
    of all layers together that will be asked for in another call, for which there must be room, too. `team`: each of
    its processes computes a share of the rows; `progress` is called by all alike.
    The folder stays leased until the arrays are gone.
    """
    kind = "pooled" if pooled else "layer"
    names = {layer: f"{kind}-{layer}.npy" for layer in layers}
    if not names:
        return {}
    told = {**meta, "rows": encoded.rows, "tokens": len(encoded.input_ids)}

    def fill(missing: Mapping[int, str]) -> None:
        for stored in ("float16", "float32"):
            with suppress(HalfOverflow):
                lower = team.together(load_lower)
                _write(lower, encoded, missing, folder, device, dtype, pooled, told, progress, stored, later, team)
                return

    def add_spare(missing: dict[int, str]) -> dict[int, str]:
        """With the layers that the same pass goes through, where they are small: the next depth or taps find them."""
        lower = {layer: f"{kind}-{layer}.npy" for layer in range(max(missing) + 1)}
        rows = encoded.rows if pooled else len(encoded.input_ids)
        if rows * len(lower) > SPARE_ROWS:
            return missing
        return {**missing, **{layer: name for layer, name in lower.items() if not (folder / name).is_file()}}

    def find_missing() -> dict[int, str]:
        touch_entry(folder, told)
        missing = {layer: name for layer, name in names.items() if not (folder / name).is_file()}
        if not missing:
            return {}
        wanted = {layer: f"{kind}-{layer}.npy" for layer in others}
        return add_spare(missing | {layer: name for layer, name in wanted.items() if not (folder / name).is_file()})

    def read() -> dict[int, np.ndarray]:
        missing = team.lead(find_missing)
        if missing:
            fill(missing)
        return team.together(lambda: {layer: _open(folder / name) for layer, name in names.items()})

    return read_leased(folder, read, lambda arrays: arrays.values())


def _open(path: Path) -> np.ndarray:
    """A memory map as a plain array, whose slices cost less."""
    return np.asarray(np.load(path, mmap_mode="r"))


def _write(lower, encoded, names, folder, device, dtype, pooled, meta, progress, stored, later, team) -> None:
    """Compute the layers of `names` and write them, each under its name."""
    width = lower.model.config.hidden_size
    tokens = min(TOKENS_PER_BATCH, TOKENS_ON_CPU) if device.type == "cpu" else TOKENS_PER_BATCH
    first = find_equal(encoded)
    batches = list(_split_distinct(encoded.lengths, first, tokens))

    def count(rows: np.ndarray) -> int:
        return len(rows) if pooled else int(encoded.lengths[rows].sum())

    def read(batches: Sequence[np.ndarray]) -> Iterator[tuple[np.ndarray, Mapping[int, np.ndarray]]]:
        passes = [rows[first[rows] == rows] for rows in batches]
        computed = run_passes(lower, encoded, list(names), device, dtype, pooled, getattr(torch, stored), passes)
        for rows, (distinct, found) in zip(batches, computed, strict=True):
            yield rows, found if len(distinct) == len(rows) else _repeat(found, rows, first, encoded.lengths, pooled)

    def check_room(copies: int) -> None:
        states = len(names) * count(np.arange(encoded.rows)) * copies + later
        needed = states * width * np.dtype(stored).itemsize
        make_room(needed)
        _check_disk(folder, needed)

    def create(path: Path, length: int) -> np.ndarray:
        return _create(path, stored, (length, width))

    def find(rows: np.ndarray) -> np.ndarray:
        return rows if pooled else list_places(encoded.offsets, rows)

    plan = "\n".join((*sorted(names.values()), stored, str(tokens), f"equal rows once in {LARGEST_GROUP}"))
    try:
        write_shards(
            team, folder, hashlib.sha256(plan.encode()).hexdigest()[:8], names, batches, read, meta=meta,
            count=count, find=find, create=create, check_room=check_room, progress=progress,
        )  # fmt: skip
    except FileNotFoundError:
        raise  # the folder was evicted under our hands
    except OSError as error:
        raise ResourceError("disk_write", folder=str(folder), reason=error.strerror or str(error)) from error


def _split_distinct(lengths: np.ndarray, first: np.ndarray, tokens: int) -> Iterator[np.ndarray]:
    """All rows in batches whose distinct rows are at most `tokens` positions; each is followed by its equals, and with
    them they are not many more than LARGEST_GROUP."""
    counts = np.bincount(first, minlength=len(first))
    order, offsets = np.argsort(first, kind="stable"), make_offsets([counts])
    for distinct in split_by_tokens(lengths, np.flatnonzero(first == np.arange(len(first))), tokens):
        held = np.cumsum(lengths[distinct] * counts[distinct]) // LARGEST_GROUP
        for part in np.split(distinct, np.flatnonzero(np.diff(held)) + 1):
            yield order[list_places(offsets, part)]


def _repeat(states: Mapping[int, np.ndarray], rows, first, lengths, pooled: bool) -> dict[int, np.ndarray]:
    """The states of a batch's distinct rows for all of its rows."""
    heads = first[rows] == rows
    index = np.cumsum(heads) - 1
    if not pooled:
        index = list_places(make_offsets([lengths[rows[heads]]]), index)
    return {layer: state[index] for layer, state in states.items()}


def _create(path: Path, dtype: str, shape: tuple[int, int]) -> np.ndarray:
    """A new file as an array to write to, its space taken."""
    array = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
    reserve(path)
    return np.asarray(array)


def split_by_tokens(lengths: np.ndarray, rows: np.ndarray, tokens: int) -> Iterator[np.ndarray]:
    """The rows, longest first, in batches of at most `tokens` positions, padding included."""
    order = rows[np.argsort(-lengths[rows], kind="stable")]
    start = 0
    while start < len(order):
        size = max(1, tokens // max(int(lengths[order[start]]), 1))
        yield order[start : start + size]
        start += size


def _check_disk(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free * 0.95:
        gigabytes = 1e9
        raise ResourceError("disk_features", folder=str(folder), needed=needed / gigabytes, free=free / gigabytes)


def compute_cache_key(weights: Path, encoded: Encoded, dtype: torch.dtype, device: torch.device) -> str:
    """The name of a cache's folder: the hash of what its content depends on."""
    parts = (str(VERSION), compute_weights_key(weights), encoded.compute_key(), str(dtype), device.type)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:24]
