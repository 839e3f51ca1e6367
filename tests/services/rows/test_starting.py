"""A config held against the run that it starts from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from chain_core.config import dump_yaml, resolve_config
from chain_core.errors import ConfigError
from chain_core.modeling.backbones.catalogue import read_facts
from chain_core.services.rows.replay import find_bundle
from chain_core.services.rows.starting import find_start_problems
from tests.test_paths import NOWHERE
from tests.tiny import build_commands, write_rows

MAPPING: dict[str, Any] = {
    "data": {"train": "rows.jsonl"}, "input": {"text": "text"},
    "heads": {"intent": {"kind": "classification", "column": "intent"}},
}  # fmt: skip


def save_run(folder: Path, **sections: Any) -> Path:
    """What a start looks at of a run's folder."""
    (folder / "model").mkdir(parents=True)
    (folder / "model" / "config.yaml").write_text(dump_yaml(resolve_config({**MAPPING, **sections})))
    (folder / "model" / "tasks.json").write_text("[]")
    return folder / "model"


def list_problems(folder: Path) -> list[tuple[str, str]]:
    config = resolve_config({**MAPPING, "start": {"run": "~/run", "replay": 0.5}})
    found = find_start_problems(config, read_facts("minilm-l6"), None, folder)
    return [(error.code, error.text().partition(":")[0]) for error in found]


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's own folder, which `~` names."""
    monkeypatch.setenv("HOME", str(tmp_path / "mine"))
    return tmp_path / "mine"


def test_a_run_and_its_rows_may_lie_at_home(mine: Path, tmp_path: Path) -> None:
    bundle = save_run(mine / "run", data={"train": "~/rows.jsonl"})
    assert find_bundle("~/run", tmp_path) == bundle
    assert list_problems(tmp_path) == [("data_set_unknown", "start.replay")]
    write_rows(mine / "rows.jsonl", build_commands(9))
    assert list_problems(tmp_path) == []


@pytest.mark.parametrize("run", NOWHERE)
def test_a_run_that_cannot_be_there_is_missing(tmp_path: Path, run: str) -> None:
    with pytest.raises(ConfigError) as caught:
        find_bundle(run, tmp_path)
    assert caught.value.code == "start_missing"


def test_rows_that_cannot_be_looked_for_are_a_problem(mine: Path, home: Path) -> None:
    save_run(mine / "run", data={"train": "stored"})
    home.mkdir()
    (home / "datasets").write_text("a file in the folder's place")
    assert list_problems(mine) == [("file_unreadable", "start.replay")]
