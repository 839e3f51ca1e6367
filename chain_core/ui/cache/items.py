"""What is cached: by backbone, by data set, and one by one; and the buttons that clear it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from chain_core.services.cache import CachedItem, clear_items, sum_sizes
from chain_core.ui.chain.result import format_bytes
from chain_core.ui.language import get_language, t
from chain_core.ui.runs.text import format_time
from chain_core.ui.shell import guard

ROW_HEIGHT = 35


def show_cleared() -> None:
    """What the last click on a clear button did, once."""
    if cleared := st.session_state.pop("cache_cleared", None):
        freed, kept = cleared
        st.success(t("cache.cleared", size=format_bytes(freed)), icon=":material/check:")
        if kept:
            st.info(t("cache.kept", count=kept), icon=":material/lock:")


def show_groups(items: Sequence[CachedItem]) -> None:
    """Sizes by backbone and by data set, side by side."""
    for column, field in zip(st.columns(2), ("backbone", "data"), strict=True):
        sums = sum_sizes(items, field)
        total = sum(sums.values())
        frame = pd.DataFrame(
            {
                t(f"cache.{field}"): [name or t("cache.unknown") for name in sums],
                t("cache.size"): [format_bytes(size) for size in sums.values()],
                t("cache.share"): [size / total if total else 0.0 for size in sums.values()],
            }
        )
        share = st.column_config.ProgressColumn(t("cache.share"), format=" ", min_value=0.0, max_value=1.0)
        with column:
            st.markdown(f"#### {t(f'cache.by_{field}')}")
            st.dataframe(
                frame, hide_index=True, height=_height(len(sums), 5), key=f"cache_{field}_{get_language()}",
                column_config={t("cache.share"): share},
            )  # fmt: skip


def show_items(items: Sequence[CachedItem]) -> None:
    """A row an entry; those that are chosen, or all, can be cleared."""
    st.markdown(f"#### {t('cache.entries')}")
    # A choice is a row's number: it must not outlive the list that it was made in.
    mark = hashlib.sha256(" ".join(item.key for item in items).encode()).hexdigest()[:12]
    event = st.dataframe(
        _build_frame(items),
        key=f"cache_items_{mark}_{get_language()}",
        hide_index=True,
        height=_height(len(items), 11),
        column_config={t("cache.size"): st.column_config.NumberColumn(format="bytes")},
        on_select="rerun",
        selection_mode="multi-row",
    )
    chosen = [items[row] for row in event["selection"]["rows"] if row < len(items)]
    with st.container(horizontal=True):
        _show_clear("chosen", chosen, mark)
        _show_clear("all", items, mark)


def _build_frame(items: Sequence[CachedItem]) -> pd.DataFrame:
    rows: list[dict[str, Any]] = [
        {
            t("cache.kind"): t(f"cache.kind_{item.kind}"),
            t("cache.backbone"): item.backbone or t("cache.unknown"),
            t("cache.data"): item.data or t("cache.unknown"),
            t("cache.rows"): f"{item.rows:,}" if item.rows else "–",
            t("cache.layers"): ", ".join(map(str, item.layers)) or "–",
            t("cache.size"): item.bytes,
            t("cache.used"): format_time(item.used),
            t("cache.held"): t("cache.held_yes") if item.held else "",
        }
        for item in items
    ]
    return pd.DataFrame(rows)


def _show_clear(what: str, items: Sequence[CachedItem], mark: str) -> None:
    """A popover that asks first. `mark` is the list's: with another list it is another popover, and closed."""
    size = sum(item.bytes for item in items)
    with st.popover(
        t(f"cache.clear_{what}"), icon=":material/delete:", disabled=not items, key=f"cache_clear_{what}_{mark}"
    ):
        st.markdown(t("cache.clear_sure", count=len(items), size=format_bytes(size)))
        if st.button(t("cache.clear_yes"), type="primary", key=f"cache_clear_{what}_yes"):
            held = guard(lambda: clear_items(items))
            freed = size - sum(item.bytes for item in held)
            st.session_state["cache_cleared"] = (freed, len(held))
            st.rerun()


def _height(rows: int, most: int) -> int:
    return 38 + ROW_HEIGHT * min(max(rows, 1), most)
