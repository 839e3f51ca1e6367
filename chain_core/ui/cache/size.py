"""How much is cached, and how much may be."""

from __future__ import annotations

import shutil
from collections.abc import Sequence

import streamlit as st

from chain_core.paths import get_home
from chain_core.services.cache import CachedItem, load_limit, set_limit
from chain_core.ui.chain.result import format_bytes
from chain_core.ui.language import t
from chain_core.ui.shell import guard

GIGABYTE = 1_000_000_000
MOST_GIGABYTES = 100_000.0
_LIMIT = "cache_limit"


def show_size(items: Sequence[CachedItem]) -> None:
    """Size, limit and free disk as figures, and the first's share of the second as a bar."""
    size, limit = sum(item.bytes for item in items), load_limit()
    with st.container(horizontal=True):
        st.metric(t("cache.size"), format_bytes(size), width="content")
        st.metric(t("cache.limit"), format_bytes(limit), width="content")
        st.metric(t("cache.free"), format_bytes(shutil.disk_usage(get_home()).free), width="content")
    if items:
        st.progress(min(size / limit, 1.0) if limit else 1.0)


def show_limit(items: Sequence[CachedItem]) -> None:
    """The limit as a number, and the button that gives the default back."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        # The key holds the value, so that the box follows a limit that was set elsewhere.
        key = f"{_LIMIT}_{load_limit() // (GIGABYTE // 10)}"
        st.number_input(
            t("cache.limit_gb"),
            min_value=0.0,
            max_value=MOST_GIGABYTES,
            value=round(load_limit() / GIGABYTE, 1),
            step=1.0,
            format="%.1f",
            key=key,
            help=t("cache.limit_help"),
            on_change=lambda: guard(lambda: set_limit(int(st.session_state[key] * GIGABYTE))),
            width=220,
        )
        if st.button(t("cache.limit_default"), key="cache_limit_default"):
            guard(lambda: set_limit(None))
            st.rerun()
