"""Encoded rows on disk: the same numbers as in memory, written once, whole or not at all."""

from __future__ import annotations

import dataclasses
import errno
import os
import subprocess
import sys
import time

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chain_core.data import encode, encoded_files
from chain_core.data.cells import hash_cells
from chain_core.data.encode import Encoded, encode_texts
from chain_core.data.encoded_files import load_encoded
from chain_core.data.text import Texts
from chain_core.errors import ResourceError
from chain_core.modeling.backbones.catalogue import load_tokenizer
from chain_core.paths import get_folder
from chain_core.storage.leases import is_leased

TOKENS = [["Turn", "on", "", "the", "LIGHT"], [], ["stop"] * 30, ["été", "42", "a1"]]
TEXTS = {
    "text": Texts("text", pa.array(["Turn on the LIGHT", "", "stop music in hall", "good day " * 9])),
    "pair": Texts("pair", pa.array(["turn on", "", "a b c"]), pa.array(["", "the light", "d e f"])),
    "tokens": Texts("tokens", pa.array(TOKENS, pa.list_(pa.string()))),
    "nothing": Texts("text", pa.array([], pa.string())),
}


@pytest.fixture
def tokenizer(backbone):
    return lambda: load_tokenizer(backbone)


def refuse():
    raise AssertionError("tokenised again")


def load(texts, tokenizer, max_length=16, **options):
    return load_encoded(texts, "key", tokenizer, max_length, meta={}, **options)


def assert_same(first: Encoded, second: Encoded):
    for field in dataclasses.fields(Encoded):
        one, two = getattr(first, field.name), getattr(second, field.name)
        if isinstance(one, np.ndarray):
            assert one.dtype == two.dtype, field.name
            np.testing.assert_array_equal(one, two, err_msg=field.name)
    assert first.truncated == second.truncated
    assert first.compute_key() == second.compute_key()


@pytest.mark.parametrize("kind", TEXTS)
@pytest.mark.parametrize("lexical", [False, True])
@pytest.mark.parametrize("chunk", [1, 3, 8192])
def test_files_hold_what_memory_would(tokenizer, monkeypatch, kind, lexical, chunk):
    monkeypatch.setattr(encode, "CHUNK", chunk)
    expected = encode_texts(TEXTS[kind], tokenizer(), 16, lexical=lexical)
    assert_same(load(TEXTS[kind], tokenizer, lexical=lexical), expected)
    assert_same(load(TEXTS[kind], refuse, lexical=lexical), expected)


def test_what_is_read_is_a_map_of_the_file(tokenizer):
    loaded = load(TEXTS["text"], tokenizer, lexical=True)
    for array in (loaded.input_ids, loaded.offsets, loaded.lexical):
        assert isinstance(array.base, np.memmap)
        assert not array.flags.writeable


def test_another_length_or_lexical_tap_is_another_entry(tokenizer):
    load(TEXTS["text"], tokenizer)
    for options in ({"max_length": 8}, {"lexical": True}):
        with pytest.raises(AssertionError, match="tokenised again"):
            load(TEXTS["text"], refuse, **options)


def test_rows_in_use_are_leased(tokenizer):
    loaded = load(TEXTS["text"], tokenizer)
    (folder,) = get_folder("encoded").iterdir()
    assert is_leased(folder)
    del loaded
    assert not is_leased(folder)


def test_stopping_half_way_leaves_nothing_to_read(tokenizer, monkeypatch):
    monkeypatch.setattr(encode, "CHUNK", 1)

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load(TEXTS["text"], tokenizer, progress=stop)
    (folder,) = get_folder("encoded").iterdir()
    assert [path.name for path in folder.iterdir()] == ["meta.json"]


def test_a_full_disk_is_a_sentence(tokenizer, monkeypatch):
    def fail(*args, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(encoded_files, "encode_chunks", fail)
    with pytest.raises(ResourceError) as caught:
        load(TEXTS["text"], tokenizer)
    assert caught.value.code == "disk_full"


WRITER = """
import sys, time, pyarrow as pa
from pathlib import Path
from chain_core.data import encode
from chain_core.data.encoded_files import load_encoded
from chain_core.data.text import Texts
from chain_core.modeling.backbones.catalogue import load_tokenizer
encode.CHUNK = 8
texts = Texts("text", pa.array([f"turn on the light {n}" for n in range(400)]))
print("ready", flush=True)
def progress(done, total):
    time.sleep(float(sys.argv[2]))
encoded = load_encoded(texts, "key", lambda: load_tokenizer(Path(sys.argv[1])), 16, meta={}, progress=progress)
print(encoded.compute_key(), int(encoded.input_ids.sum()), flush=True)
"""


def start_writer(backbone, pause):
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(backbone), str(pause)], stdout=subprocess.PIPE, text=True,
        env={**os.environ},
    )  # fmt: skip
    assert process.stdout.readline().strip() == "ready"
    return process


def test_two_processes_write_one_entry(backbone, tokenizer):
    processes = [start_writer(backbone, 0.002) for _ in range(2)]
    answers = {process.stdout.read() for process in processes}  # with what came along with "ready"
    assert [process.wait(60) for process in processes] == [0, 0]
    assert len(answers) == 1
    (folder,) = get_folder("encoded").iterdir()
    assert not [path.name for path in folder.iterdir() if path.name.startswith(".")]
    texts = Texts("text", pa.array([f"turn on the light {n}" for n in range(400)]))
    assert_same(load(texts, refuse), encode_texts(texts, tokenizer(), 16))


def test_a_killed_writer_leaves_nothing_that_is_read(backbone, tokenizer):
    process = start_writer(backbone, 0.2)
    deadline = time.monotonic() + 60
    while not list(get_folder("encoded").glob("*/.input_ids.bin.*")):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.kill()
    process.wait()
    (folder,) = get_folder("encoded").iterdir()
    assert not (folder / "encoded.json").exists()
    texts = Texts("text", pa.array([f"turn on the light {n}" for n in range(400)]))
    assert_same(load(texts, tokenizer), encode_texts(texts, tokenizer(), 16))
    encoded_files.make_room()
    load_again = load(texts, refuse)
    assert load_again.rows == 400


@settings(max_examples=60)
@given(st.lists(st.one_of(st.none(), st.text(max_size=5)), max_size=12), st.data())
def test_the_hash_follows_the_cells_and_not_the_chunks(cells, data):
    array = pa.array(cells, pa.string())
    cut = data.draw(st.integers(0, len(cells)))
    chunks = pa.chunked_array([array.slice(0, cut), array.slice(cut)], pa.string())
    assert hash_cells([array]) == hash_cells([chunks]) == hash_cells([array.cast(pa.large_string())])
    other = data.draw(st.lists(st.one_of(st.none(), st.text(max_size=5)), max_size=12))
    assert (hash_cells([array]) == hash_cells([pa.array(other, pa.string())])) == (cells == other)


@settings(max_examples=60)
@given(*[st.lists(st.lists(st.text(max_size=2), max_size=3), max_size=5)] * 2)
def test_lists_hash_by_their_items(first, second):
    arrays = [pa.array(lists, pa.list_(pa.string())) for lists in (first, second)]
    assert (hash_cells([arrays[0]]) == hash_cells([arrays[1]])) == (first == second)
