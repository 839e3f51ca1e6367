"""Fixtures that every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# How long an example takes says how busy the machine is.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

# Tiny models gain nothing from threads, and threads that wait for each other on a busy machine cost minutes.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace of this test's own."""
    folder = tmp_path / "workspace"
    monkeypatch.setenv("CHAIN_HOME", str(folder))
    monkeypatch.delenv("CHAIN_STORE", raising=False)
    return folder


@pytest.fixture(scope="session")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random BERT, saved as a user's folder would be."""
    from tests.tiny import save_tiny_backbone

    return save_tiny_backbone(tmp_path_factory.mktemp("backbone") / "bert")


@pytest.fixture(scope="session")
def backbones(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Family -> the folder of a tiny random backbone."""
    from tests.tiny import FAMILIES, save_tiny_backbone

    root = tmp_path_factory.mktemp("backbones")
    return {family: save_tiny_backbone(root / family, family) for family in FAMILIES}


@pytest.fixture(scope="session")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """JSON lines with a column for every kind of head."""
    from tests.tiny import build_commands, write_rows

    return write_rows(tmp_path_factory.mktemp("rows") / "commands.jsonl", build_commands())
