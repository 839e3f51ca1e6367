"""Passes of a frozen half of a backbone over batches of rows: on a CPU several at a time, each on cores of its own.

A product of a small backbone is too short to be worth dividing among cores: on two, two passes at a time take five
sixths of the time of one after the other.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import groupby

import numpy as np
import torch
from torch import Tensor, nn

from chain_core.data.encode import Encoded
from chain_core.errors import ConfigError
from chain_core.modeling.backbones.backbone import Backbone, choose_attention, is_short
from chain_core.modeling.batch import Batch, build_batch
from chain_core.modeling.chain import compute_pooled
from chain_core.modeling.device import autocast
from chain_core.modeling.halving import Halving
from chain_core.storage.partial import Abandon

MOST_PASSES = 8
"""At a time: each has the states of a whole batch in memory."""
LARGEST_HALF = 60_000.0
"""States up to it are kept as float16."""
Found = tuple[np.ndarray, Mapping[int, np.ndarray]]
"""Rows and what was computed of them: layer -> their states or vectors."""


class HalfOverflow(Abandon):
    """A state too large for float16."""


def run_passes(
    lower: Backbone,
    encoded: Encoded,
    layers: Sequence[int],
    device: torch.device,
    dtype: torch.dtype,
    pooled: bool,
    stored: torch.dtype,
    batches: Sequence[np.ndarray],
) -> Iterator[Found]:
    """Each batch's rows with their states in the precision `stored`, in order; a batch takes more passes than one where
    memory is short. Raises HalfOverflow where float16 cannot hold them. Leaves the half's products in `dtype`.
    """
    lower.to(device).eval()
    _round_weights(lower, dtype)
    halving = Halving()

    def compute(rows: np.ndarray) -> Found:
        found = halving.run(rows, lambda part: _pass(lower, build_batch(encoded, part), layers, device, dtype, pooled))
        parts = [{layer: _round(state, stored) for layer, state in states.items()} for _, states in found]
        return rows, {layer: np.concatenate([part[layer] for part in parts]) for layer in layers}

    abreast = count_abreast(torch.get_num_threads()) if device.type == "cpu" else 1
    if abreast == 1:
        yield from map(compute, batches)
        return
    # Passes side by side share the module, and with it the kernel of its attention: none of them may choose another.
    fused, lower.fused = lower.fused, False
    try:
        for short, alike in groupby(batches, key=lambda rows: is_short(int(encoded.lengths[rows].max()))):
            if fused:
                choose_attention(lower.model, short=short)
            yield from _map_abreast(compute, alike, abreast)
    finally:
        lower.fused = fused


def count_abreast(threads: int) -> int:
    """How many passes share so many threads: as many as may be without leaving many of them idle."""
    each = math.ceil(threads / MOST_PASSES)
    return threads // each


def _round_weights(lower: nn.Module, dtype: torch.dtype) -> None:
    """Those of its products, as every pass would do anew."""
    for module in lower.modules():
        if type(module) is nn.Linear:
            module.to(dtype)


def _map_abreast(
    compute: Callable[[np.ndarray], Found], batches: Iterator[np.ndarray], abreast: int
) -> Iterator[Found]:
    """As `map`, so many at a time, among which torch's threads are divided."""
    threads = torch.get_num_threads()
    pool = ThreadPoolExecutor(abreast, initializer=torch.set_num_threads, initargs=(threads // abreast,))
    pending: deque[Future[Found]] = deque()
    try:
        for rows in batches:
            first = not pending
            pending.append(pool.submit(compute, rows))
            if first:
                pending[0].exception()  # what a model sets up in its first pass is there for those that follow
            if len(pending) > abreast:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)  # which is the process's as well as the thread's


@torch.inference_mode()
def _pass(lower, batch: Batch, layers, device, dtype, pooled) -> dict[int, Tensor]:
    """Layer -> states of the batch's tokens, row after row, or vectors of its rows."""
    batch = batch.to(device)
    with autocast(device, dtype):
        states = lower(batch.mask, batch.input_ids, batch.token_type_ids)
    if not pooled:
        found = {layer: states[layer][batch.mask] for layer in layers}
    else:
        found = {layer: compute_pooled(states[layer], batch.mask, causal=lower.causal) for layer in layers}
    refuse_overflow(found.values(), dtype)
    return found


def refuse_overflow(states: Iterable[Tensor], dtype: torch.dtype) -> None:
    """Raises ConfigError `states_overflow` where a pass in float16 left its range: float32 would find numbers."""
    if dtype == torch.float16 and not all(bool(torch.isfinite(state).all()) for state in states):
        raise ConfigError("states_overflow", path="train.precision")


def fits_half(states: Tensor) -> bool:
    """Whether states may be kept as float16; those that are no numbers may, as no wider format would mend them."""
    return not len(states) or not float(states.abs().max()) > LARGEST_HALF


def _round(states: Tensor, stored: torch.dtype) -> np.ndarray:
    if stored == torch.float16 and not fits_half(states):
        raise HalfOverflow
    return states.to(stored).cpu().numpy()
