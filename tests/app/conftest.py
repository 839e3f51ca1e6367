"""A harness that opens the workbench's pages as a browser would, without one (AppTest)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from streamlit.runtime.pages_manager import PagesManager
from streamlit.testing.v1 import AppTest, app_test

from chain_core.paths import PROJECT

SECONDS = 60
logging.getLogger("streamlit.runtime.scriptrunner_utils.script_run_context").setLevel(logging.ERROR)

Open = Callable[..., AppTest]


class RoutedPages(PagesManager):
    """A server that has run app.py before, as every server has after its first session."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        PagesManager.uses_pages_directory = False
        super().__init__(*arguments, **options)


@pytest.fixture
def open_app(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """`open_app("chain", "zh", run="ID")`: one page in one language, of a workbench whose worker is off."""
    monkeypatch.setenv("CHAIN_WORKER", "off")
    monkeypatch.setattr(app_test, "PagesManager", RoutedPages)
    home.mkdir(parents=True, exist_ok=True)
    st.cache_resource.clear()

    def open_page(name: str = "home", language: str = "en", **params: str) -> AppTest:
        app = AppTest.from_file(str(PROJECT / "app.py"), default_timeout=SECONDS)
        app.session_state["language"] = language
        for key, value in params.items():
            app.query_params[key] = value
        app.run()
        if name != "home":
            app.switch_page(f"pages/{name}.py").run()
        return app

    yield open_page
    st.cache_resource.clear()


@pytest.fixture
def write_draft(home: Path) -> Callable[[dict[str, Any]], None]:
    """Puts a draft where a new session finds it."""
    from chain_core.config import dump_mapping

    def write(draft: dict[str, Any]) -> None:
        home.mkdir(parents=True, exist_ok=True)
        (home / "draft.yaml").write_text(dump_mapping(draft), encoding="utf-8")

    return write
