"""Fixtures that every test may use."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace of this test's own."""
    folder = tmp_path / "workspace"
    monkeypatch.setenv("CHAIN_HOME", str(folder))
    return folder
