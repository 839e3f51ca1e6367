"""The feature cache: right, shared, whole or not at all."""

from __future__ import annotations

import errno
import threading
from contextlib import contextmanager

import numpy as np
import pyarrow as pa
import pytest
import torch

from chain_core.data.encode import encode_texts
from chain_core.data.text import Texts
from chain_core.errors import ResourceError
from chain_core.modeling.backbones import features, passes, repeats
from chain_core.modeling.backbones.catalogue import load_tokenizer, read_facts
from chain_core.modeling.backbones.features import compute_cache_key, compute_features
from chain_core.modeling.batch import build_batch
from chain_core.modeling.model import load_lower

CPU = torch.device("cpu")


@pytest.fixture
def facts(backbones):
    return read_facts(str(backbones["bert"]))


@pytest.fixture
def encoded(facts):
    texts = Texts("text", pa.array(["turn on the light", "", "stop music in hall", "good day " * 9]))
    return encode_texts(texts, load_tokenizer(facts.folder), 16)


def run(facts, encoded, folder, layers, *, pooled=False, load=None, progress=lambda done, total: None, later=0):
    return compute_features(
        load or (lambda: load_lower(facts, facts.num_layers)), encoded, layers, folder=folder, device=CPU,
        dtype=torch.float32, pooled=pooled, meta={}, progress=progress, later=later,
    )  # fmt: skip


def list_content(folder):
    """What an entry holds besides what it says of itself."""
    return [path.name for path in folder.iterdir() if path.name not in ("meta.json", "workspace")]


def refuse():
    raise AssertionError("computed again")


def test_states_are_those_of_the_backbone(facts, encoded, tmp_path):
    stored = run(facts, encoded, tmp_path, (0, 2, 4))
    lower = load_lower(facts, 4)
    for row in range(encoded.rows):
        batch = build_batch(encoded, np.array([row]))
        states = lower(batch.mask, batch.input_ids)
        for layer, values in stored.items():
            part = values[encoded.offsets[row] : encoded.offsets[row + 1]]
            np.testing.assert_allclose(part, states[layer][0].detach().numpy(), atol=4e-3)


@pytest.mark.parametrize("pooled", [False, True])
def test_many_equal_rows_are_never_held_all_at_once(facts, tmp_path, monkeypatch, pooled):
    texts = Texts("text", pa.array((["turn on the light"] * 9 + ["stop"]) * 12))
    encoded = encode_texts(texts, load_tokenizer(facts.folder), 16)
    whole = run(facts, encoded, tmp_path / "whole", (4,), pooled=pooled)[4]
    held, real = [], features._repeat

    def watched(states, rows, *given):
        held.append(int(encoded.lengths[rows].sum()))
        return real(states, rows, *given)

    monkeypatch.setattr(features, "_repeat", watched)
    for module in (features, repeats):
        monkeypatch.setattr(module, "LARGEST_GROUP", 60)
    cut = run(facts, encoded, tmp_path / "cut", (4,), pooled=pooled)[4]
    np.testing.assert_allclose(cut, whole, atol=4e-3)
    assert len(held) > 5
    assert max(held) <= 120


@pytest.mark.parametrize("pooled", [False, True])
def test_states_stay_in_their_file(facts, encoded, tmp_path, pooled):
    for again in range(2):
        arrays = run(facts, encoded, tmp_path, (0, 4), pooled=pooled)
        assert all(isinstance(array.base, np.memmap) for array in arrays.values()), again
        assert not any(array.flags.writeable for array in arrays.values())


def test_pooled_is_the_mean_of_the_row(facts, encoded, tmp_path):
    states = run(facts, encoded, tmp_path, (4,))[4]
    pooled = run(facts, encoded, tmp_path, (4,), pooled=True)[4]
    for row in range(encoded.rows):
        mean = states[encoded.offsets[row] : encoded.offsets[row + 1]].astype(np.float32).mean(0)
        np.testing.assert_allclose(pooled[row], mean, atol=4e-3)


def test_small_layers_on_the_way_are_kept_for_the_next_depth(facts, encoded, tmp_path):
    alone = run(facts, encoded, tmp_path / "alone", (1,))
    assert not (tmp_path / "alone" / "layer-2.npy").exists()
    run(facts, encoded, tmp_path / "all", (4,))
    spare = run(facts, encoded, tmp_path / "all", (1, 3), load=refuse)
    np.testing.assert_array_equal(spare[1], alone[1])


def test_known_layers_are_not_computed_again(facts, encoded, tmp_path, monkeypatch):
    monkeypatch.setattr(features, "SPARE_ROWS", 0)
    run(facts, encoded, tmp_path, (2, 4))
    assert list(run(facts, encoded, tmp_path, (4,), load=refuse)) == [4]
    with pytest.raises(AssertionError):
        run(facts, encoded, tmp_path, (3,), load=refuse)


class Break(Exception):
    pass


@contextmanager
def counting():
    """How many rows each pass through the backbone reads, one after the other."""
    computed, before = [], passes._pass

    def count(lower, batch, *given):
        computed.append(len(batch.mask))
        return before(lower, batch, *given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passes, "_pass", count)
        patch.setattr(passes, "MOST_PASSES", 1)
        yield computed


def break_off(facts, encoded, folder, at, **options):
    """Ask for a layer and break off once so many rows are done; what there is of it then."""

    def progress(done, total):
        if done >= at:
            raise Break

    with pytest.raises(Break):
        run(facts, encoded, folder, (4,), progress=progress, **options)
    return list(folder.parent.glob(f"{folder.name}-*.partial"))


@pytest.fixture
def small_batches(monkeypatch):
    monkeypatch.setattr(features, "TOKENS_PER_BATCH", 16)


@pytest.mark.parametrize("pooled", [False, True])
@pytest.mark.usefixtures("small_batches")
def test_what_was_computed_before_a_break_is_not_computed_again(facts, encoded, tmp_path, pooled):
    with counting() as all_rows:
        run(facts, encoded, tmp_path / "whole", (4,), pooled=pooled)
    folder, seen = tmp_path / "broken", []
    with counting() as computed:
        for at in (1, 2):
            assert len(break_off(facts, encoded, folder, at, pooled=pooled)) == 1
            assert list_content(folder) == [], "nothing that is half written may be read"
        run(facts, encoded, folder, (4,), pooled=pooled, progress=lambda done, total: seen.append((done, total)))
    assert computed == all_rows, "each row once"
    assert [total for _, total in seen] == [4] * len(seen)
    assert seen[0][0] > 2
    files = [{path.name: path.read_bytes() for path in (tmp_path / name).glob("*.npy")} for name in ("whole", "broken")]
    assert len(files[0]) == 5
    assert files[0] == files[1]
    assert not list(tmp_path.glob("*.partial"))


@pytest.fixture
def repeated(facts):
    rows = ["stop", "turn on the light", "stop", "good day", "turn on the light", "stop", "red"]
    return encode_texts(Texts("text", pa.array(rows)), load_tokenizer(facts.folder), 16)


@pytest.mark.parametrize("pooled", [False, True])
@pytest.mark.parametrize("tokens", [16, 4096])
def test_rows_that_read_the_same_are_computed_once(facts, repeated, tmp_path, monkeypatch, pooled, tokens):
    monkeypatch.setattr(features, "TOKENS_PER_BATCH", tokens)
    seen = []
    with counting() as computed:
        found = run(facts, repeated, tmp_path / "once", (4,), pooled=pooled, progress=lambda *told: seen.append(told))
    assert sum(computed) == 4
    assert seen[-1] == (7, 7)
    monkeypatch.setattr(features, "find_equal", lambda encoded: np.arange(encoded.rows))
    with counting() as computed:
        each = run(facts, repeated, tmp_path / "each", (4,), pooled=pooled)
    assert sum(computed) == 7
    np.testing.assert_allclose(found[4], each[4], atol=4e-3)


@pytest.mark.usefixtures("small_batches")
def test_a_break_between_equal_rows_loses_none(facts, repeated, tmp_path):
    with counting() as computed:
        break_off(facts, repeated, tmp_path / "x", 2)
        found = run(facts, repeated, tmp_path / "x", (4,))[4]
    assert sum(computed) == 4
    np.testing.assert_array_equal(found, run(facts, repeated, tmp_path / "whole", (4,))[4])


@pytest.mark.usefixtures("small_batches")
def test_no_pass_goes_on_after_a_break(facts, encoded, tmp_path):
    def stop(done, total):
        raise Break

    threads = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        with pytest.raises(Break):
            run(facts, encoded, tmp_path, (4,), progress=stop)
        assert not [thread for thread in threading.enumerate() if "ThreadPoolExecutor" in thread.name]
        assert torch.get_num_threads() == 4
    finally:
        torch.set_num_threads(threads)


@pytest.mark.usefixtures("small_batches")
def test_other_layers_do_not_go_on_from_it(facts, encoded, tmp_path, monkeypatch):
    monkeypatch.setattr(features, "SPARE_ROWS", 0)
    left = break_off(facts, encoded, tmp_path / "x", 2)
    with counting() as computed:
        run(facts, encoded, tmp_path / "x", (2,))
    assert sum(computed) == 4
    assert list(tmp_path.glob("*.partial")) == left


@pytest.mark.usefixtures("small_batches")
def test_nothing_is_kept_of_what_is_of_no_use(facts, encoded, tmp_path, monkeypatch):
    """A number too large for half precision: all begins anew, and that is what a break keeps."""
    states = run(facts, encoded, tmp_path / "whole", (4,))[4]
    lengths = np.sort(encoded.lengths)[::-1]
    monkeypatch.setattr(passes, "LARGEST_HALF", float(np.abs(states).max()) * 0.999)
    [left] = break_off(facts, encoded, tmp_path / "x", 4)
    assert np.load(left / "layer-4.npy").dtype == np.float32
    assert len(np.load(left / "layer-4.npy")) == lengths.sum()


def test_too_large_for_half_precision_is_kept_in_single(facts, encoded, tmp_path, monkeypatch):
    monkeypatch.setattr(passes, "LARGEST_HALF", 1e-3)
    assert run(facts, encoded, tmp_path, (4,))[4].dtype == np.float32


def test_full_disk_is_said_before_anything_is_written(facts, encoded, tmp_path, monkeypatch):
    monkeypatch.setattr(features.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 10})())
    with pytest.raises(ResourceError) as caught:
        run(facts, encoded, tmp_path, (4,))
    assert caught.value.code == "disk_features"
    assert list_content(tmp_path) == []


def test_room_for_what_comes_later_is_asked_for_at_once(facts, encoded, tmp_path, monkeypatch):
    needed = len(encoded.input_ids) * facts.hidden_size * 2
    free = type("Usage", (), {"free": int(needed * 1.5)})()
    monkeypatch.setattr(features, "SPARE_ROWS", 0)
    monkeypatch.setattr(features.shutil, "disk_usage", lambda folder: free)
    with pytest.raises(ResourceError) as caught:
        run(facts, encoded, tmp_path, (4,), later=len(encoded.input_ids))
    assert caught.value.code == "disk_features"
    run(facts, encoded, tmp_path, (4,))


def test_failing_write_is_a_sentence(facts, encoded, tmp_path, monkeypatch):
    def fail(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(features.np.lib.format, "open_memmap", fail)
    with pytest.raises(ResourceError, match="No space left"):
        run(facts, encoded, tmp_path, (4,))


@pytest.mark.parametrize("pooled", [False, True])
@pytest.mark.parametrize("error", [torch.OutOfMemoryError, MemoryError])
def test_short_memory_makes_smaller_passes(facts, encoded, tmp_path, pooled, error):
    whole, asked = run(facts, encoded, tmp_path / "whole", (4,), pooled=pooled)[4], []

    def load():
        lower = load_lower(facts, 4)

        def refuse_many(module, arguments):
            asked.append(len(arguments[0]))
            if len(arguments[0]) > 1:
                raise error("too many rows")

        lower.register_forward_pre_hook(refuse_many)
        return lower

    np.testing.assert_allclose(
        run(facts, encoded, tmp_path / "parts", (4,), pooled=pooled, load=load)[4], whole, atol=4e-3
    )
    assert asked == [4, 2, 1, 1, 1, 1]


def test_memory_that_does_not_suffice_for_one_row_is_told(facts, encoded, tmp_path):
    def load():
        lower = load_lower(facts, 4)

        def refuse(module, arguments):
            raise MemoryError

        lower.register_forward_pre_hook(refuse)
        return lower

    with pytest.raises(MemoryError):
        run(facts, encoded, tmp_path, (4,), load=load)
    assert list_content(tmp_path) == []


def test_key_follows_the_content(facts, encoded, backbones):
    key = compute_cache_key(facts.folder, encoded, torch.float32, CPU)
    other = encode_texts(Texts("text", pa.array(["stop"])), load_tokenizer(facts.folder), 16)
    assert key == compute_cache_key(facts.folder, encoded, torch.float32, CPU)
    assert key != compute_cache_key(facts.folder, other, torch.float32, CPU)
    assert key != compute_cache_key(facts.folder, encoded, torch.bfloat16, CPU)
    assert key != compute_cache_key(backbones["roberta"], encoded, torch.float32, CPU)
