"""What every page does first, and what app.py routes to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from chain_core.errors import ChainError
from chain_core.paths import PROJECT
from chain_core.ui.backend import get_supervisor
from chain_core.ui.escape import escape_markdown
from chain_core.ui.language import get_language, show_language_switch, t
from chain_core.ui.notices import show_notices

__all__ = ["build_navigation", "escape_markdown", "go_to", "guard", "open_page", "show_empty", "show_error"]

PAGES = ("home", "data", "chain", "runs", "sweeps", "report", "predict", "cache")
ICONS = {
    "home": ":material/home:",
    "data": ":material/table:",
    "chain": ":material/link:",
    "runs": ":material/monitoring:",
    "sweeps": ":material/grid_view:",
    "report": ":material/analytics:",
    "predict": ":material/chat:",
    "cache": ":material/database:",
}
STYLE = PROJECT / "assets" / "styles" / "workbench.css"


def open_page(name: str) -> None:
    """Style and title of one page, and a worker that warms up; the first call of each page."""
    if not st.session_state.get("_routed"):
        # On a server that has not run app.py yet, a deep link runs the page without it. Once the router's pages
        # are known, a second try goes through app.py.
        build_navigation()
        st.rerun()
    st.session_state["_routed"] = False
    st.html(STYLE)
    st.title(t(f"{name}.title"), anchor=False)
    st.caption(t(f"{name}.caption"))
    show_notices()  # first: on a full disk the next line may be where the script ends
    guard(get_supervisor)


def build_navigation() -> Any:
    """The router's pages, titled in this session's language."""
    st.session_state["_routed"] = True
    show_language_switch()
    pages = [
        st.Page(
            str(PROJECT / "pages" / f"{name}.py"),
            title=t(f"nav.{name}"),
            icon=ICONS[name],
            url_path=name,
            default=name == "home",
        )
        for name in PAGES
    ]
    return st.navigation(pages)


def go_to(name: str, **params: str) -> None:
    """Leave for another page, with query parameters such as `run=ID`."""
    st.switch_page(str(PROJECT / "pages" / f"{name}.py"), query_params=params or None)


def show_error(error: ChainError) -> None:
    """An error's sentence, as text: whatever a file or label smuggled into it stays text."""
    st.error(escape_markdown(error.text(get_language())), icon=":material/error:")


def show_empty(page: str, target: str) -> None:
    """An empty page: what is missing, and the one click that leads on. Ends the script."""
    with st.container(border=True):
        st.markdown(t(f"{page}.empty"))
        if st.button(t(f"{page}.empty_action"), type="primary", key=f"{page}_empty"):
            go_to(target)
    st.stop()


def guard(action: Callable[[], Any]) -> Any:
    """The action's value; a ChainError becomes a sentence on the screen and ends the script."""
    try:
        return action()
    except ChainError as error:
        show_error(error)
        st.stop()
