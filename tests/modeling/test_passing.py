"""What processes hand each other arrives as it was, and nothing else is taken in."""

from __future__ import annotations

import errno
import json
import math
from dataclasses import fields
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from chain_core.config import resolve_config
from chain_core.errors import ChainError, ConfigError
from chain_core.modeling.failures import portable
from chain_core.modeling.passing import pack, unpack
from chain_core.services.rows.prepare import prepare_run
from chain_core.training.control import Paused
from tests.tiny import build_commands, write_rows

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(st.text() | st.integers() | st.tuples(st.text(), st.integers()), inner)
    ),
)


def hand(value):
    return unpack(np.frombuffer(pack(value), np.uint8).copy())


@given(PLAIN)
def test_plain_values_arrive_as_they_were(value):
    assert repr(hand(value)) == repr(value)


def test_numbers_that_json_does_not_know():
    nan, endless, single = hand([math.nan, -math.inf, np.float32(0.1)])
    assert math.isnan(nan)
    assert endless == -math.inf
    assert (single, type(single)) == (np.float32(0.1), np.float32)
    assert hand({"tuple": 1, "array": [2]}) == {"tuple": 1, "array": [2]}, "a mapping of the user's, not one of ours"


@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0), (3, 2)])
@pytest.mark.parametrize("dtype", ["bool", "uint8", "int64", "float16", "bfloat16", "float32", "float64"])
def test_tensors_and_arrays(dtype, shape):
    tensor = torch.ones(shape).to(getattr(torch, dtype))
    _, found = hand(["odd", tensor])
    assert (found.dtype, found.shape) == (tensor.dtype, tensor.shape)
    assert torch.equal(found, tensor)
    if dtype != "bfloat16":
        array = np.asfortranarray(tensor.numpy())
        again = hand({1: array})[1]
        assert (again.dtype, again.shape) == (array.dtype, array.shape)
        assert np.array_equal(again, array)


def test_columns_and_tables():
    column = pa.array([["a", None], None, []], pa.large_list(pa.string()))
    found, empty, table = hand([column[1:], column[:0], pa.table({"x": column, "y": [1.5, None, 2.0]})])
    assert found.equals(column[1:])
    assert empty.equals(column[:0])
    assert table.equals(pa.table({"x": column, "y": [1.5, None, 2.0]}))


def test_a_runs_material_arrives_whole(tmp_path, backbone):
    write_rows(tmp_path / "train.jsonl", build_commands(30))
    heads = {
        "intent": {"kind": "classification", "column": "intent", "depths": [1, "last"]},
        "slots": {"kind": "tagging", "column": "slots"},
    }
    mapping = {
        "data": {"train": "train.jsonl", "test": 0.2},
        "input": {"tokens": "tokens"},
        "heads": heads,
        "backbone": {"name": str(backbone)},
        "chain": {"depth": 2, "links": [{"kind": "conv"}, {"kind": "attention"}]},
    }
    material = prepare_run(resolve_config(mapping), tmp_path)
    again = hand(material)
    for name in ("config", "tasks", "facts", "notes", "unlabelled", "layers"):
        assert getattr(again, name) == getattr(material, name), name
    assert resolve_config(again.config.model_dump(mode="json")) == again.config
    for ours, theirs in zip(material.sets, again.sets, strict=True):
        assert ours.table.equals(theirs.table)
        assert ours.texts.first.equals(theirs.texts.first)
        assert {name: rows.tolist() for name, rows in theirs.splits.items()} == {
            name: rows.tolist() for name, rows in ours.splits.items()
        }
        rest = [part.name for part in fields(ours) if part.name not in ("table", "texts", "splits")]
        assert all(getattr(ours, name) == getattr(theirs, name) for name in rest)


def test_errors_arrive_as_what_they_are():
    error = ConfigError("must_be_at_most", path="chain.depth", given=13, limit=12)
    again = hand(portable(error))
    assert (str(again), again.path, again.params) == (str(error), "chain.depth", error.params)
    assert isinstance(again, ChainError)
    full = hand(portable(OSError(errno.ENOSPC, "No space left", "/there")))
    assert (full.errno, full.filename) == (errno.ENOSPC, "/there")
    assert isinstance(hand(portable(FileNotFoundError(errno.ENOENT, "gone"))), FileNotFoundError)
    assert isinstance(hand(portable(torch.OutOfMemoryError("out of memory"))), torch.OutOfMemoryError)
    assert isinstance(hand(portable(Paused())), Paused)
    assert "Traceback" not in str(hand(portable(ValueError("odd"))))

    class Strange(Exception):
        def __init__(self, what, other):
            super().__init__(what)

    assert "Strange: odd" in str(hand(portable(Strange("odd", 1))))


def test_nothing_else_is_taken():
    for value in (object(), {1, 2}, b"bytes", print, np.array([None]), Path):
        with pytest.raises(TypeError):
            pack(value)
    assert hand(Path("/a")) == Path("/a")
    for name in ("os:system", "builtins:eval", "subprocess:Popen", "chain_core.paths:get_home", "torch:load"):
        header = json.dumps({"error": [name, {"tuple": ["true"]}, {"mapping": []}]}).encode()
        with pytest.raises(TypeError):
            unpack(np.frombuffer(len(header).to_bytes(8, "little") + header, np.uint8))
