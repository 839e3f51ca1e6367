"""Every page test's server: its worker off, its caches its own."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import app_test

from chain_core.config import dump_mapping
from tests.app.harness import RoutedPages

logging.getLogger("streamlit.runtime.scriptrunner_utils.script_run_context").setLevel(logging.ERROR)


@pytest.fixture(autouse=True)
def _server(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("CHAIN_WORKER", "off")
    monkeypatch.setattr(app_test, "PagesManager", RoutedPages)
    home.mkdir(parents=True, exist_ok=True)
    st.cache_resource.clear()
    yield
    st.cache_resource.clear()


@pytest.fixture
def write_draft(home: Path) -> Callable[[dict[str, Any]], None]:
    """Puts a draft where a new session finds it."""

    def write(draft: dict[str, Any]) -> None:
        (home / "draft.yaml").write_text(dump_mapping(draft), encoding="utf-8")

    return write
