"""Caches: what is in use stays, the least recently used goes first, what a crash left is swept and never read."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest

from chain_core.paths import get_folder
from chain_core.storage import entries
from chain_core.storage.drafts import open_draft, write_whole
from chain_core.storage.entries import (
    list_entries,
    load_limit,
    make_room,
    remove_entry,
    save_limit,
    sweep,
    touch_entry,
)
from chain_core.storage.leases import is_leased, read_leased, take_lease

MEGABYTE = 1 << 20


def make_entry(key, *, used=0.0, kind="features", size=MEGABYTE):
    folder = get_folder(kind) / key
    folder.mkdir(parents=True)
    touch_entry(folder, {"backbone": "tiny", "data": key})
    (folder / "layer-1.npy").write_bytes(bytes(size))
    os.utime(folder / "meta.json", (used, used))
    return folder


def start_process(code, *arguments):
    """A process of its own that has printed its first line."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ})
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "ready"
    return process


def list_keys():
    return {entry.key for entry in list_entries()}


def test_entries_say_what_they_are():
    make_entry("old", used=100.0)
    make_entry("new", used=200.0, kind="encoded", size=3 * MEGABYTE)
    new, old = list_entries()
    assert (new.key, new.kind, new.used, new.held, new.files) == ("new", "encoded", 200.0, False, ("layer-1.npy",))
    assert new.meta == {"backbone": "tiny", "data": "new"}
    assert 3 * MEGABYTE <= new.bytes < 3.1 * MEGABYTE
    assert old.bytes < 1.1 * MEGABYTE


def test_the_least_recently_used_goes_first():
    for number, key in enumerate(("b", "c", "a")):
        make_entry(key, used=100.0 + number)
    save_limit(int(2.5 * MEGABYTE))
    assert make_room() >= MEGABYTE
    assert list_keys() == {"a", "c"}
    make_room(MEGABYTE)
    assert list_keys() == {"a"}


def test_use_counts_as_use():
    for number, key in enumerate(("b", "c")):
        make_entry(key, used=100.0 + number)
    touch_entry(get_folder("features") / "b", {})
    save_limit(int(1.5 * MEGABYTE))
    make_room()
    assert list_keys() == {"b"}


def test_what_a_living_process_holds_stays():
    folder = make_entry("held", used=1.0)
    make_entry("free", used=2.0)
    code = "import sys; from chain_core.storage.leases import take_lease; from pathlib import Path\n"
    code += "lease = take_lease(Path(sys.argv[1])); print('ready', flush=True); sys.stdin.read()"
    process = start_process(code, folder)
    try:
        assert is_leased(folder)
        save_limit(0)
        make_room()
        assert list_keys() == {"held"}
        assert not remove_entry(folder)
    finally:
        process.kill()
        process.wait()
    assert not is_leased(folder)
    make_room()
    assert list_keys() == set()


def test_a_lease_ends_with_what_it_guards(tmp_path):
    arrays = read_leased(tmp_path / "x", lambda: [np.zeros(3), np.ones(3)], list)
    assert is_leased(tmp_path / "x")
    arrays.pop()
    gc.collect()
    assert is_leased(tmp_path / "x")
    del arrays
    gc.collect()
    assert not is_leased(tmp_path / "x")


def test_a_reused_process_number_holds_nothing(tmp_path):
    take_lease(tmp_path)
    (path,) = tmp_path.glob("*.lease")
    identity = json.loads(path.read_text())
    path.write_text(json.dumps({**identity, "ticks": identity["ticks"] - 1000}))
    assert not is_leased(tmp_path)
    assert not path.exists()


@pytest.mark.parametrize("text", ["", "[]", "{", '{"host": 1}'])
def test_a_broken_lease_counts_only_while_it_may_be_being_written(tmp_path, text):
    path = tmp_path / "x.lease"
    path.write_text(text)
    assert is_leased(tmp_path)
    os.utime(path, (1.0, 1.0))
    assert not is_leased(tmp_path)


def test_a_lease_taken_while_it_is_being_removed_saves_the_entry(monkeypatch):
    folder = make_entry("x")
    answers = iter([False, True])
    monkeypatch.setattr(entries, "is_leased", lambda folder: next(answers))
    assert not remove_entry(folder)
    assert (folder / "layer-1.npy").is_file()


def test_reading_begins_again_where_the_entry_went_away(tmp_path):
    calls = []

    def read():
        calls.append(1)
        if len(calls) == 1:
            raise FileNotFoundError
        return [np.zeros(1)]

    read_leased(tmp_path / "x", read, list)
    assert len(calls) == 2


def test_a_killed_writer_leaves_nothing_that_is_read():
    folder = make_entry("x")
    code = """
import sys, time
from pathlib import Path
from chain_core.storage.drafts import open_draft
from chain_core.storage.leases import take_lease
lease = take_lease(Path(sys.argv[1]))
with open_draft(Path(sys.argv[1])) as draft:
    draft.path("layer-2.npy").write_bytes(bytes(1000))
    print("ready", flush=True)
    time.sleep(600)
"""
    process = start_process(code, folder)
    half = set(folder.glob(".*.draft"))
    assert len(half) == 1
    sweep()
    assert set(folder.glob(".*.draft")) == half, "a living writer's draft was swept"
    process.kill()
    process.wait()
    assert not (folder / "layer-2.npy").exists()
    assert list_entries()[0].files == ("layer-1.npy",)
    sweep()
    assert not list(folder.glob(".*.draft"))


def test_an_entry_with_nothing_in_it_is_swept():
    folder = get_folder("features") / "x"
    folder.mkdir()
    touch_entry(folder, {})
    (get_folder("features") / ".gone-1").mkdir()
    assert list_entries() == []
    sweep()
    assert list(get_folder("features").iterdir()) == []


def test_drafts_are_discarded_or_published(tmp_path):
    with open_draft(tmp_path) as draft:
        draft.path("a").write_text("half")
    assert list(tmp_path.iterdir()) == []
    with open_draft(tmp_path) as draft:
        draft.path("a").write_text("whole")
        draft.publish()
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_writers_of_one_file_never_mix(tmp_path):
    """Many processes write the same small file over and over: a reader sees one of them, whole."""
    code = """
import sys
from pathlib import Path
from chain_core.storage.drafts import write_whole
print("ready", flush=True)
for _ in range(60):
    write_whole(Path(sys.argv[1]), sys.argv[2] * 5000)
"""
    path = tmp_path / "file"
    write_whole(path, "a" * 5000)
    processes = [start_process(code, path, letter) for letter in "abc"]
    while any(process.poll() is None for process in processes):
        text = path.read_text()
        assert len(text) == 5000
        assert len(set(text)) == 1
        time.sleep(0.001)
    assert all(process.returncode == 0 for process in processes)
    assert list(tmp_path.iterdir()) == [path]


def test_the_limit_is_kept_and_has_a_sensible_default(home, monkeypatch):
    assert 0 < load_limit() <= entries.LARGEST_DEFAULT
    save_limit(123)
    assert load_limit() == 123
    save_limit(None)
    usage = type("Usage", (), {"free": 1000})()
    monkeypatch.setattr(entries.shutil, "disk_usage", lambda folder: usage)
    assert load_limit() == 500
    (home / "cache.json").write_text("{broken")
    assert load_limit() == 500


def test_a_nearly_full_disk_evicts_too(monkeypatch):
    make_entry("x")
    save_limit(1 << 40)
    usage = type("Usage", (), {"free": 1000})()
    monkeypatch.setattr(entries.shutil, "disk_usage", lambda folder: usage)
    make_room(500)
    assert list_keys() == {"x"}
    make_room(5000)
    assert list_keys() == set()
