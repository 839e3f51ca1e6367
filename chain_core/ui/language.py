"""The language of this browser session: the browser's at first, the sidebar's switch after that."""

from __future__ import annotations

import streamlit as st

from chain_core.messages import LANGUAGES, render

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
    """The switch in the sidebar. The choice lives under its own key, which a page change does not clear."""
    current = get_language()
    chosen = st.sidebar.segmented_control(
        t("shell.language"),
        LANGUAGES,
        format_func=NAMES.__getitem__,
        default=current,
        key=f"language_switch_{current}",
        label_visibility="collapsed",
    )
    if chosen and chosen != current:
        st.session_state["language"] = chosen
        st.rerun()
