"""Errors that users can mend."""

from __future__ import annotations

import pytest

from chain_core.errors import BackboneError, ChainError, ConfigError, DataError, ResourceError, RunError


@pytest.mark.parametrize("kind", [ConfigError, DataError, BackboneError, RunError, ResourceError])
def test_all_are_one_tree_with_sentences(kind: type[ChainError]) -> None:
    error = kind("yaml_broken", line=3, reason="x")
    assert isinstance(error, ChainError)
    assert "line 3" in str(error)
    assert error.text("zh") != error.text("en")


def test_a_config_error_knows_its_path() -> None:
    error = ConfigError("missing_key", path="data.train")
    assert error.path == error.params["path"] == "data.train"
