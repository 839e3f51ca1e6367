"""A tiny backbone and a tiny table."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tiny import build_commands, save_tiny_backbone, write_rows


@pytest.fixture(scope="session")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_backbone(tmp_path_factory.mktemp("backbone") / "bert")


@pytest.fixture(scope="session")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rows(tmp_path_factory.mktemp("rows") / "commands.jsonl", build_commands())
