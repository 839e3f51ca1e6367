"""A file is stored once, whole or not at all, and a config finds its rows."""

from __future__ import annotations

import errno
from pathlib import Path

import pyarrow as pa
import pytest

from chain_core.config import DataConfig
from chain_core.data import store, writer
from chain_core.data.store import SPLIT
from chain_core.errors import DataError, ResourceError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, rows in {"train": "a,x\nb,y\n", "test": "c,x\n"}.items():
        (tmp_path / f"{name}.csv").write_text("text,label\n" + rows)
    return tmp_path


def test_the_same_file_twice_is_one_data_set(folder, home):
    first = store.import_files({"train": folder / "train.csv"}, name="reviews")
    (folder / "copy.csv").write_bytes((folder / "train.csv").read_bytes())
    second = store.import_files({"train": folder / "copy.csv"}, name="other")
    assert first == second
    assert second.name == "reviews"
    assert [data_set.id for data_set in store.list_data_sets()] == [first.id]
    assert store.read_table(first).to_pylist() == [{"text": "a", "label": "x"}, {"text": "b", "label": "y"}]
    assert store.read_table(first, ["label"]).column_names == ["label"]


def test_reading_it_differently_is_another_data_set(folder):
    path = folder / "train.csv"
    one = store.import_files({"train": path}, name="same")
    other = store.import_files({"train": path}, name="same", delimiter=";")
    assert one.id != other.id
    assert (one.name, other.name) == ("same", "same (2)")
    assert other.columns == ("text,label",)


def test_several_files_are_told_apart_by_the_split_column(folder):
    (folder / "test.csv").write_text("text,extra\nc,1\n")
    data_set = store.import_files(store.find_split_files(folder), name="both")
    rows = store.read_table(data_set).to_pylist()
    assert [row[SPLIT] for row in rows] == ["train", "train", "test"]
    assert rows[2] == {"text": "c", "label": None, "extra": "1", SPLIT: "test"}
    assert {note["code"] for note in data_set.notes} == {"columns_lacking"}
    assert set(data_set.sources) == {"train", "test"}


def test_files_that_share_no_column_are_refused(folder):
    (folder / "test.csv").write_text("satz,klasse\nc,1\n")
    with pytest.raises(DataError) as caught:
        store.import_files(store.find_split_files(folder), name="both")
    assert caught.value.code == "no_common_column"


def test_a_bad_file_leaves_nothing_behind(tmp_path, home):
    path = tmp_path / "bad.csv"
    path.write_text("text,label\n" + "fine,a\n" * 20_000 + "ragged\n")
    with pytest.raises(DataError) as caught:
        store.import_files({"train": path}, name="bad")
    assert caught.value.params["line"] == 20_002
    assert list((home / "datasets").iterdir()) == []


def test_a_crash_half_way_leaves_nothing_that_is_read(folder, home, monkeypatch):
    def crash(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(writer, "_rename", crash)
    monkeypatch.setattr(writer.shutil, "rmtree", lambda *_, **__: None)  # a killed process does not tidy up
    with pytest.raises(KeyboardInterrupt):
        store.import_files({"train": folder / "train.csv"}, name="reviews")
    assert list((home / "datasets").iterdir())
    assert store.list_data_sets() == []
    monkeypatch.undo()
    monkeypatch.setenv("CHAIN_HOME", str(home))
    assert store.import_files({"train": folder / "train.csv"}, name="reviews").rows == 2


def test_a_damaged_data_set_is_replaced_by_the_same_file(folder):
    path = folder / "train.csv"
    data_set = store.import_files({"train": path}, name="reviews")
    (data_set.folder / "meta.json").write_text("{")
    assert store.list_data_sets() == []
    assert store.read_table(store.import_files({"train": path}, name="reviews")).num_rows == 2
    (data_set.folder / writer.ROWS).write_bytes(b"no rows")
    with pytest.raises(DataError) as caught:
        store.read_table(data_set)
    assert caught.value.code == "data_set_damaged"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_is_a_sentence():
    batch = pa.record_batch({"text": ["a" * 100_000]})
    with pytest.raises(ResourceError) as caught, writer.explain_full_disk(Path("/somewhere")):
        writer.write_rows([batch], Path("/dev/full"))
    assert caught.value.code == "disk_full"
    assert "/somewhere" in caught.value.text()


def test_a_full_disk_while_importing(folder, home, monkeypatch):
    def fill(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(writer.os, "fsync", fill)
    with pytest.raises(ResourceError):
        store.import_files({"train": folder / "train.csv"}, name="reviews")
    assert list((home / "datasets").iterdir()) == []


def test_open_rows_of_paths_names_and_both(folder):
    data = DataConfig(train="train.csv", test="test.csv")
    data_set, table = store.open_rows(data, folder)
    assert data_set.name == folder.name
    assert table[SPLIT].to_pylist() == ["train", "train", "test"]
    named, _ = store.open_rows(DataConfig(train=data_set.name), folder)
    assert named == data_set
    assert store.open_rows(DataConfig(train=data_set.id), folder)[0] == data_set
    other = store.import_files({"train": folder / "test.csv"}, name="held out")
    mixed, table = store.open_rows(DataConfig(train=data_set.id, test=other.name), folder)
    assert table[SPLIT].to_pylist() == ["train", "train", "test"]
    assert mixed == store.open_rows(DataConfig(train=data_set.id, test=other.name), folder)[0]
    assert store.open_rows(DataConfig(train="."), folder)[0] == data_set


@pytest.mark.parametrize(
    ("train", "code"),
    [
        ("nothing.csv", "file_missing"),
        ("../x/y", "file_missing"),
        ("reviws", "data_set_unknown_nearest"),
        ("zzzz", "data_set_unknown"),
        ("a" * 5000, "data_set_unknown"),
        ("nul\0byte", "data_set_unknown"),
    ],
)
def test_open_rows_says_what_is_missing(folder, train, code):
    store.import_files({"train": folder / "train.csv"}, name="reviews")
    with pytest.raises(DataError) as caught:
        store.open_rows(DataConfig(train=train), folder)
    assert caught.value.code == code


def test_folders_without_a_train_file(folder):
    (folder / "train.csv").rename(folder / "first.csv")
    with pytest.raises(DataError) as caught:
        store.find_split_files(folder)
    assert caught.value.code == "folder_without_train"
    (folder / "test.csv").unlink()
    assert store.find_split_files(folder) == {"train": folder / "first.csv"}


def test_deleting(folder):
    data_set = store.import_files({"train": folder / "train.csv"}, name="reviews")
    store.delete_stored(data_set.id)
    store.delete_stored(data_set.id)
    assert store.list_data_sets() == []
    assert not data_set.folder.exists()
