"""The Cache page: what it lists, the limit, clearing, in both languages."""

from __future__ import annotations

import os

import pytest

from chain_core.messages import LANGUAGES, render
from chain_core.paths import get_folder
from chain_core.storage.entries import list_entries, load_limit, save_limit, touch_entry
from chain_core.storage.leases import take_lease
from tests.app.harness import click, open_page, run


def add_entry(key, kind="features", *, files=("layer-4.npy", "layer-6.npy"), size=2_000_000, used=1e9, **meta):
    folder = get_folder(kind) / key
    folder.mkdir(parents=True)
    touch_entry(folder, {"backbone": "minilm-l6", "data": "/data/*atis*/train.jsonl", "rows": 1234, **meta})
    for name in files:
        (folder / name).write_bytes(bytes(size))
    os.utime(folder / "meta.json", (used, used))
    return folder


def list_keys():
    return [entry.key for entry in list_entries()]


@pytest.mark.parametrize("language", LANGUAGES)
def test_nothing_is_cached_yet(home, language):
    page = open_page("cache", language=language)
    assert page.title[0].value == render("cache.title", language)
    assert render("cache.empty", language) in [text.value for text in page.markdown]
    assert page.metric[0].value == "0 kB"
    assert page.number_input[0].value == pytest.approx(load_limit() / 1e9, abs=0.06)


@pytest.mark.parametrize("language", LANGUAGES)
def test_entries_are_listed_in_human_units(home, language):
    add_entry("a", used=2e9 - 1)
    add_entry("b", "encoded", files=("encoded.json",), size=4096, backbone="/models/my-bert", data="/x/rows.csv")
    add_entry("c", files=("layer-2.npy", "pooled-2.npy"), size=1_000_000, data="0123456789abcdef", rows=None)
    page = open_page("cache", language=language)
    by_backbone, by_data, entries = (frame.value for frame in page.dataframe)
    name = render("cache.backbone", language)
    assert by_backbone[name].tolist() == ["minilm-l6", "my-bert"]
    assert by_backbone[render("cache.size", language)].iloc[0] == "6.0 MB"
    assert set(by_data[render("cache.data", language)]) == {"*atis*", "rows", "0123456789abcdef"}
    kinds = [render(f"cache.kind_{kind}", language) for kind in ("states", "rows", "both")]
    assert sorted(entries[render("cache.kind", language)]) == sorted(kinds)
    assert "4, 6" in entries[render("cache.layers", language)].tolist()
    assert "1,234" in entries[render("cache.rows", language)].tolist()


def test_clearing_everything_keeps_what_a_run_has_open(home):
    add_entry("a")
    held = take_lease(add_entry("b"))
    page = open_page("cache")
    page = click(page, "cache_clear_all_yes")
    assert list_keys() == ["b"]
    assert "4.0 MB freed" in page.success[0].value
    assert "1 entry is in use" in page.info[0].value
    held.release()


def test_a_new_limit_evicts_at_once_and_the_default_comes_back(home):
    add_entry("old", used=1e9)
    add_entry("new", used=1.1e9)
    save_limit(10_000_000_000)
    page = open_page("cache")
    assert page.number_input[0].value == 10.0
    page.number_input[0].set_value(0.0)
    page = run(page)
    assert load_limit() == 0
    assert list_keys() == []
    page = click(page, "cache_limit_default")
    assert load_limit() > 0


def test_a_limit_keeps_the_last_used(home):
    add_entry("old", used=1e9, size=60_000_000)
    add_entry("new", used=1.1e9, size=30_000_000)
    page = open_page("cache")
    page.number_input[0].set_value(0.1)
    run(page)
    assert list_keys() == ["new"]
