"""Which runs the list shows: filters, order and page. Kept for the session, so that a look at a report keeps them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from chain_core.errors import ChainError
from chain_core.services.store.records import ACTIVE, STATES, Group, Run
from chain_core.services.store.run_entries import SORTS
from chain_core.services.sweeps.trials import find_group
from chain_core.ui.backend import get_store
from chain_core.ui.language import t
from chain_core.ui.runs.text import format_time
from chain_core.ui.shell import show_error

PAGE = 25
FEW = 5
"""So many runs need no filters."""
SWEEPS = 100
"""The newest, of which one can be chosen."""
_SWEEP = "runs_sweep"
_KEYS = ("runs_text", "runs_states", "runs_tag", "runs_starred", _SWEEP)
STATE_CHOICES = ("active", *(state for state in STATES if state not in ("stopping", "pausing")))


@dataclass(frozen=True)
class Choice:
    """What to list."""

    text: str = ""
    state: str | None = None
    """One of STATE_CHOICES; None: whatever."""
    tag: str | None = None
    starred: bool | None = None
    sweep: str | None = None
    """The id of the one that the runs belong to."""
    sort: str = "newest"

    @property
    def filters(self) -> dict[str, Any]:
        """For the store's `list_runs` and `count_runs`."""
        return {
            "states": self._states, "text": self.text or None, "tag": self.tag, "starred": self.starred,
            "group_id": self.sweep,
        }  # fmt: skip

    @property
    def _states(self) -> Sequence[str]:
        return {
            None: STATES,
            "active": ACTIVE,
            "running": ("running", "stopping", "pausing"),
        }.get(self.state, (self.state or "",))

    def find(self, page: int) -> list[Run]:
        """The runs of one page, from 1."""
        return get_store().list_runs(PAGE, sort=self.sort, offset=(page - 1) * PAGE, **self.filters)

    def count(self) -> int:
        return get_store().count_runs(**self.filters)


def show_filters(total: int) -> Choice:
    """The filters, where there are many runs or something is filtered already; `?sweep=ID` in the address is one."""
    sweeps = _find_sweeps()
    filtered = any(st.session_state.get(key) for key in _KEYS)
    if total <= FEW and not filtered:
        return Choice()
    with st.container(horizontal=True, vertical_alignment="bottom", key="runs_filters"):
        text = st.text_input(
            t("runs.find"), key="runs_text", placeholder=t("runs.find_name"), persist_state="session", width=220,
        )  # fmt: skip
        state = st.selectbox(
            t("runs.state"), STATE_CHOICES, index=None, key="runs_states", placeholder=t("runs.any"), width=150,
            format_func=lambda state: t(f"runs.state_{state}"), persist_state="session",
        )  # fmt: skip
        tag = _pick_tag()
        sweep = _pick_sweep(sweeps)
        sort = st.selectbox(
            t("runs.sort"), SORTS, key="runs_sort", format_func=lambda sort: t(f"runs.sort_{sort}"), width=170,
            persist_state="session",
        )  # fmt: skip
        starred = st.toggle(t("runs.only_starred"), key="runs_starred", persist_state="session")
    return Choice((text or "").strip(), state, tag, True if starred else None, sweep, sort)


def _pick_tag() -> str | None:
    tags = get_store().list_tags()
    kept = st.session_state.get("runs_tag")
    if kept is not None and kept not in tags:
        st.session_state["runs_tag"] = None  # the last run that bore it lost it
    if not tags:
        return None
    return st.selectbox(
        t("runs.tag"), tags, index=None, key="runs_tag", placeholder=t("runs.any"), width=150, persist_state="session"
    )


def _find_sweeps() -> dict[str, Group]:
    """Id -> sweep that can be chosen. The one that the address names becomes the choice; where there is none, it says
    so."""
    sweeps = {group.id: group for group in get_store().list_groups(SWEEPS)}
    wanted = st.query_params.get("sweep") or st.session_state.get(_SWEEP)
    if wanted and wanted not in sweeps:
        try:
            sweeps[wanted] = find_group(get_store(), wanted)
        except ChainError as error:
            show_error(error)
            st.query_params.pop("sweep", None)
            wanted = None
    if wanted != st.session_state.get(_SWEEP):
        st.session_state[_SWEEP] = wanted
    if wanted:
        st.query_params["sweep"] = wanted  # of a choice that this session kept: a reload keeps it as well
    return sweeps


def _pick_sweep(sweeps: dict[str, Group]) -> str | None:
    if not sweeps:
        return None

    def name(group_id: str) -> str:
        group = sweeps[group_id]
        return f"{group.name} · {format_time(group.created)}"

    return st.selectbox(
        t("runs.sweep"), list(sweeps), index=None, format_func=name, key=_SWEEP, placeholder=t("runs.any"), width=240,
        on_change=_address_sweep, persist_state="session",
    )  # fmt: skip


def _address_sweep() -> None:
    """A callback: the address follows the choice, so that a reload keeps it."""
    if chosen := st.session_state[_SWEEP]:
        st.query_params["sweep"] = chosen
    else:
        st.query_params.pop("sweep", None)


def show_pages(found: int) -> int:
    """The switch between pages, where there are several; the page, from 1."""
    pages = max(1, -(-found // PAGE))
    page = min(max(1, st.session_state.get("runs_page", 1)), pages)
    if pages == 1:
        return 1
    st.session_state["runs_page"] = page
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        first = (page - 1) * PAGE + 1
        st.caption(t("runs.page_of", first=first, last=min(found, first + PAGE - 1), count=found), width="content")
        return st.pagination(pages, key="runs_page", persist_state="session", width=300)


def clear_filters() -> None:
    """A callback: show every run again, from the first page."""
    st.query_params.pop("sweep", None)
    st.session_state["runs_page"] = 1
    for key in _KEYS:
        st.session_state[key] = False if key == "runs_starred" else "" if key == "runs_text" else None
