"""Passes side by side: the same numbers in the same order, nothing left behind."""

from __future__ import annotations

import threading
from contextlib import closing
from itertools import islice

import numpy as np
import pyarrow as pa
import pytest
import torch

from chain_core.data.encode import encode_texts
from chain_core.data.text import Texts
from chain_core.errors import ConfigError
from chain_core.modeling.backbones import backbone, passes
from chain_core.modeling.backbones.catalogue import load_tokenizer, read_facts
from chain_core.modeling.backbones.passes import run_passes
from chain_core.modeling.model import load_lower

CPU = torch.device("cpu")
ROWS = 30


@pytest.fixture(autouse=True)
def threads():
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield 4
    torch.set_num_threads(before)


@pytest.fixture(params=["bert", "gpt2", "llama"])
def facts(backbones, request):
    return read_facts(str(backbones[request.param]))


@pytest.fixture
def encoded(facts):
    rows = ["turn on the light in hall " * (1 + row % 4) for row in range(ROWS)]
    return encode_texts(Texts("text", pa.array(rows)), load_tokenizer(facts.folder), 32)


def run(facts, encoded, *, dtype=torch.float32, pooled=False, stored=torch.float32):
    """Three rows a batch."""
    lower = load_lower(facts, facts.num_layers)
    return run_passes(lower, encoded, [0, 4], CPU, dtype, pooled, stored, np.arange(ROWS).reshape(-1, 3))


def watch_passes(monkeypatch):
    """The threads that make passes; the lengths of the rows of all that run, as often as one begins."""
    names, running, seen, real = set(), [], [], passes._pass

    def watched(lower, batch, *given):
        length = batch.mask.shape[1]
        names.add(threading.current_thread().name)
        running.append(length)
        seen.append(list(running))
        try:
            return real(lower, batch, *given)
        finally:
            running.remove(length)

    monkeypatch.setattr(passes, "_pass", watched)
    return names, seen


@pytest.mark.parametrize("pooled", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_side_by_side_is_as_one_after_the_other(facts, encoded, monkeypatch, pooled, dtype):
    names, _ = watch_passes(monkeypatch)
    found = list(run(facts, encoded, dtype=dtype, pooled=pooled))
    assert len(names) > 1
    monkeypatch.setattr(passes, "MOST_PASSES", 1)
    alone = list(run(facts, encoded, dtype=dtype, pooled=pooled))
    for (rows, states), (rows_alone, states_alone) in zip(found, alone, strict=True):
        np.testing.assert_array_equal(rows, rows_alone)
        for layer, values in states.items():
            np.testing.assert_allclose(values, states_alone[layer], atol=1e-5 if dtype == torch.float32 else 0.05)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_same_numbers_every_time(facts, encoded, dtype):
    """Whichever thread computes a batch, and whatever runs beside it."""
    first = list(run(facts, encoded, dtype=dtype))
    for _ in range(3):
        for (_, states), (_, again) in zip(first, run(facts, encoded, dtype=dtype), strict=True):
            for layer, values in states.items():
                np.testing.assert_array_equal(values, again[layer])


def test_no_more_at_a_time_than_allowed(facts, encoded, monkeypatch):
    monkeypatch.setattr(passes, "MOST_PASSES", 2)
    _, seen = watch_passes(monkeypatch)
    list(run(facts, encoded))
    assert max(map(len, seen)) <= 2


@pytest.mark.parametrize("threads", range(1, 65))
def test_few_cores_are_left_idle(threads):
    abreast = passes.count_abreast(threads)
    assert 1 <= abreast <= passes.MOST_PASSES
    assert abreast * (threads // abreast) >= 0.8 * threads


def test_weights_are_rounded_as_every_pass_would(facts, encoded, monkeypatch):
    monkeypatch.setattr(passes, "MOST_PASSES", 1)
    rounded = list(run(facts, encoded, dtype=torch.bfloat16))
    monkeypatch.setattr(passes, "_round_weights", lambda lower, dtype: None)
    for (_, states), (_, expected) in zip(rounded, run(facts, encoded, dtype=torch.bfloat16), strict=True):
        for layer, values in states.items():
            np.testing.assert_array_equal(values, expected[layer])


def test_a_stop_leaves_no_pass_running(facts, encoded, threads):
    with closing(run(facts, encoded)) as found:
        next(found)
    assert not [thread for thread in threading.enumerate() if "ThreadPoolExecutor" in thread.name]
    assert torch.get_num_threads() == threads


def test_an_error_of_one_pass_is_told_in_its_turn(facts, encoded, monkeypatch, threads):
    real = passes.build_batch

    def fail(encoded, rows):
        if rows[0] == 12:
            raise ValueError("row 12")
        return real(encoded, rows)

    monkeypatch.setattr(passes, "build_batch", fail)
    found = run(facts, encoded)
    assert [rows[0] for rows, _ in islice(found, 4)] == [0, 3, 6, 9]
    with pytest.raises(ValueError, match="row 12"):
        next(found)
    assert torch.get_num_threads() == threads


def test_a_part_of_a_long_batch_keeps_its_kernel(facts, encoded, monkeypatch):
    """Its rows may be short, but others of the same module are at work with the other kernel."""
    monkeypatch.setattr(backbone, "SHORT_ROWS", int(np.unique(encoded.lengths)[1]))
    expected, kernels, real = list(run(facts, encoded)), set(), passes._pass

    def fail(lower, batch, *given):
        if len(batch.rows) > 1:
            raise MemoryError
        kernels.add(lower.model.config._attn_implementation)
        return real(lower, batch, *given)

    monkeypatch.setattr(passes, "_pass", fail)
    found = list(run(facts, encoded))
    assert min(encoded.lengths) <= backbone.SHORT_ROWS
    assert kernels == {"sdpa"}, "every batch holds a long row"
    for (_, states), (_, alone) in zip(expected, found, strict=True):
        for layer, values in states.items():
            np.testing.assert_allclose(values, alone[layer], atol=1e-5)


def test_short_memory_beside_others_makes_smaller_passes(facts, encoded, monkeypatch):
    expected = list(run(facts, encoded))
    real = passes._pass

    def refuse_many(lower, batch, *given):
        if len(batch.mask) > 1:
            raise MemoryError
        return real(lower, batch, *given)

    monkeypatch.setattr(passes, "_pass", refuse_many)
    for (rows, states), (_, whole) in zip(run(facts, encoded), expected, strict=True):
        assert len(rows) == 3
        for layer, values in states.items():
            np.testing.assert_allclose(values, whole[layer], atol=1e-5)


def test_rows_of_one_kernel_run_side_by_side(facts, encoded, monkeypatch):
    """The module is shared: passes that want another kernel wait."""
    monkeypatch.setattr(backbone, "SHORT_ROWS", 12)
    order = np.argsort(-encoded.lengths, kind="stable")
    lower = load_lower(facts, facts.num_layers)
    _, seen = watch_passes(monkeypatch)
    found = list(run_passes(lower, encoded, [4], CPU, torch.float32, False, torch.float32, order.reshape(-1, 3)))
    assert len(found) == 10
    assert not any(len({length <= 12 for length in lengths}) > 1 for lengths in seen)


def test_half_precision_says_what_it_cannot_hold(facts, encoded, monkeypatch):
    assert next(iter(run(facts, encoded, stored=torch.float16)))[1][4].dtype == np.float16
    monkeypatch.setattr(passes, "LARGEST_HALF", 1e-3)
    with pytest.raises(passes.HalfOverflow):
        list(run(facts, encoded, stored=torch.float16))


def test_a_pass_in_float16_that_overflows_says_so(facts, encoded):
    batches = np.arange(ROWS).reshape(-1, 3)

    def read(dtype):
        lower = load_lower(facts, facts.num_layers)
        for name, parameter in lower.named_parameters():
            if parameter.ndim == 2 and "emb" not in name and "wte" not in name and "wpe" not in name:
                parameter.mul_(1e4)
        return list(run_passes(lower, encoded, [4], CPU, dtype, True, torch.float32, batches))

    assert all(np.isfinite(states[4]).all() for _, states in read(torch.bfloat16))
    with pytest.raises(ConfigError) as caught:
        read(torch.float16)
    assert caught.value.code == "states_overflow"
