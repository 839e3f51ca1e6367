"""Paths as people write them, and names that lead nowhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from chain_core.paths import fix_path, place_path

NOWHERE = ("~nobody-of-this-name/x", "~\0/x", "x" * 300, "a/" * 3000, "nul\0")


def test_a_path_starts_from_home_from_the_root_or_from_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert place_path("~/rows.csv", Path("/folder")) == tmp_path / "home" / "rows.csv"
    assert place_path("/rows.csv", Path("/folder")) == Path("/rows.csv")
    assert place_path("~rows.csv", Path("/folder")) == Path("/folder/~rows.csv")
    assert place_path("rows.csv", Path()) == Path("rows.csv")


def test_only_what_is_there_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "rows.csv").write_text("")
    assert fix_path("rows.csv", tmp_path) == fix_path("~/rows.csv", Path("/folder")) == str(tmp_path / "rows.csv")
    assert fix_path("rows.csv", tmp_path / "elsewhere") == "rows.csv"


@pytest.mark.parametrize("value", [*NOWHERE, "half \ud800", "~\ud800"])
def test_what_cannot_even_be_looked_at_is_not_there(tmp_path: Path, value: str) -> None:
    assert fix_path(value, tmp_path) == value
