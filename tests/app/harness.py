"""The workbench's pages as a browser opens them, without one (AppTest): through app.py, on a warm server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streamlit.runtime.pages_manager import PagesManager
from streamlit.testing.v1 import AppTest

from chain_core.paths import PROJECT

SECONDS = 60


class RoutedPages(PagesManager):
    """A server that has run app.py before, as every server has after its first session."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        PagesManager.uses_pages_directory = False
        super().__init__(*arguments, **options)


def open_page(
    name: str = "home", language: str = "en", state: Mapping[str, Any] | None = None, **params: str | None
) -> AppTest:
    """One page in one language after its first run; `run="ID"` and the like stand in its address.

    `state`: what the session remembers of widgets, by key.
    """
    app = AppTest.from_file(str(PROJECT / "app.py"), default_timeout=SECONDS)
    app.session_state["language"] = language
    for key, value in (state or {}).items():
        app.session_state[key] = value
    for key, value in params.items():
        if value is not None:
            app.query_params[key] = value
    if name != "home":
        app.switch_page(f"pages/{name}.py")
    return run(app)


def run(app: AppTest) -> AppTest:
    """The page after one more run; nothing may be raised."""
    app.run()
    assert not app.exception, app.exception
    return app


def click(app: AppTest, key: str) -> AppTest:
    """The page after a click on a button."""
    app.button(key=key).click()
    return run(app)
