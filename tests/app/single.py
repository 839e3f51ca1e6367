"""One page by itself in an AppTest.

AppTest forgets the router's pages between runs, so each run of a page but the first would begin with the detour
through app.py that a deep link takes, and lose the click that it was made for.
"""

from __future__ import annotations

from streamlit.testing.v1 import AppTest

from chain_core.paths import PROJECT


def build_page(name: str, run_id: str | None = None, language: str = "en") -> AppTest:
    """The page after its first run, with `?run=ID` where given."""
    page = AppTest.from_file(str(PROJECT / "pages" / f"{name}.py"), default_timeout=30)
    page.session_state["language"] = language
    if run_id:
        page.query_params["run"] = run_id
    return run(page)


def run(page: AppTest) -> AppTest:
    """The page after one more run; nothing may be raised."""
    page.session_state["_routed"] = True
    page.run()
    assert not page.exception, page.exception
    return page


def click(page: AppTest, key: str) -> AppTest:
    """The page after a click on a button."""
    page.button(key=key).click()
    return run(page)
