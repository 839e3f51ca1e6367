"""The language of this browser session: the browser's at first, the sidebar's switch after that."""

from __future__ import annotations

import streamlit as st

from chain_core.messages import LANGUAGES, render

_SWITCH = "language_switch"
NAMES = {"en": "English", "zh": "中文"}


def get_language() -> str:
    """One of LANGUAGES."""
    chosen = st.session_state.get("language")
    if chosen in LANGUAGES:
        return chosen
    browser = (st.context.locale or "en").lower()
    return "zh" if browser.startswith("zh") else "en"


def t(key: str, /, **params: object) -> str:
    """The sentence under `key` in this session's language."""
    return render(key, get_language(), **params)


def show_language_switch() -> None:
    """The switch in the sidebar: one widget in all languages, so that a click that comes while the page is still drawn
    for an earlier one counts as well."""
    current = get_language()
    if st.session_state.get(_SWITCH) != current:
        st.session_state[_SWITCH] = current
    st.sidebar.segmented_control(
        t("shell.language"), LANGUAGES, format_func=NAMES.__getitem__, required=True, key=_SWITCH, on_change=_switch,
        label_visibility="collapsed",
    )  # fmt: skip


def _switch() -> None:
    """A callback. The choice lives under its own key, which a page change does not clear."""
    if chosen := st.session_state[_SWITCH]:
        st.session_state["language"] = chosen
