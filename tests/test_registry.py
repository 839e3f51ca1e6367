"""Registries and near names."""

from __future__ import annotations

import pytest

from chain_core.errors import ConfigError
from chain_core.registry import Registry, nearest


def test_names_lead_to_builders() -> None:
    registry: Registry[int] = Registry("number")
    registry.register("one")(1)
    assert registry.get("one") == 1
    assert registry.names() == ("one",)
    assert "one" in registry
    assert "two" not in registry


def test_an_unknown_name_names_the_known_ones() -> None:
    registry: Registry[int] = Registry("number")
    registry.register("one")(1)
    with pytest.raises(ConfigError) as caught:
        registry.get("uno")
    assert "one" in str(caught.value)


def test_a_name_is_given_once() -> None:
    registry: Registry[int] = Registry("number")
    registry.register("one")(1)
    with pytest.raises(ValueError, match="twice"):
        registry.register("one")(2)


def test_nearest() -> None:
    assert nearest("Dpeth", ["depth", "width"]) == "depth"
    assert nearest("zzz", ["depth", "width"]) == ""
