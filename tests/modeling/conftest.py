"""Tiny backbones, saved once a session."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tiny import FAMILIES, save_tiny_backbone


@pytest.fixture(scope="session")
def backbones(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Family -> folder."""
    root = tmp_path_factory.mktemp("backbones")
    return {family: save_tiny_backbone(root / family, family) for family in FAMILIES}
