"""Widgets whose choices depend on the draft, the table or the store; what is no choice just now stays shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from chain_core.data.store import list_data_sets
from chain_core.paths import get_home
from chain_core.ui.chain import edit as chain_edit
from chain_core.ui.chain.edit import Path
from chain_core.ui.chain.fields import build_key, edit, numbers, pick, read, real_number
from chain_core.ui.chain.metrics import offer_metrics
from chain_core.ui.draft import get_draft
from chain_core.ui.language import t

_MODES = "chain_source_modes"


def source(label: str, path: Path, *, help: str | None = None, off: str | None = None) -> None:
    """A stored data set, or the path of a file or folder; with `off`, which an empty field shows, none."""
    known = list_sources(str(get_home()))
    pick(label, path, list(known), name=lambda value: known.get(value, str(value)), help=help, off=off, free=True)


@st.cache_data(ttl=2, show_spinner=False)
def list_sources(home: str) -> dict[str, str]:
    """Id -> name and rows of every stored data set of a workspace."""
    return {data_set.id: f"{data_set.name} · {data_set.rows:,}" for data_set in list_data_sets()}


def share_or_source(label: str, path: Path, *, help: str | None = None) -> None:
    """A share of the train rows, rows of their own, or (for the test rows) none."""
    value = read(path)
    known = "source" if isinstance(value, str) else "none" if value is None else "share"
    modes = ("share", "source", "none") if path[-1] == "test" else ("share", "source")
    chosen = st.session_state.setdefault(_MODES, {})
    key = f"{build_key(path)}/mode"
    mode = chosen.get((path, str(value)), known)
    if st.session_state.get(key) != mode:
        st.session_state[key] = mode

    def write() -> None:
        mode = st.session_state[key]
        if mode == "source":  # nothing to write before a source is chosen
            chosen[path, str(value)] = mode
        else:
            chosen.pop((path, str(value)), None)
            edit(chain_edit.set_value, path, {"share": 0.1, "none": None}[mode])

    st.selectbox(t(label), modes, key=key, format_func=lambda mode: t(f"chain.rows_{mode}"), on_change=write,
                 help=t(help) if help else None)  # fmt: skip
    if mode == "source":
        source("chain.rows_from", path)
    elif mode == "share":
        real_number("chain.share_of_train", path, 0.01, 0.99, step=0.05)


def tie(label: str, path: Path, *, help: str | None = None) -> None:
    """An earlier link, or the backbone's own layer, whose parameters a link shares."""
    depth = chain_edit.read_depth(get_draft() or {})
    options: list[Any] = list(range(1, depth))
    if read((*path[:-1], "kind")) == "backbone":
        options.insert(0, "backbone")
    pick(label, path, options, name=name_tie, help=help, off="chain.tie_none")


def name_tie(value: Any) -> str:
    """What a link shares its parameters with."""
    return t("chain.tie_backbone") if value == "backbone" else t("chain.tie_link", number=value)


def densities(label: str, path: Path, *, help: str | None = None) -> None:
    """A course, or a factor for each link."""
    value = read(path)
    words = ("constant", "growing", "shrinking", "each")
    if not isinstance(value, str) or value not in words:
        value = "each"
    key = f"{build_key(path)}/course"
    if st.session_state.get(key) != value:
        st.session_state[key] = value

    def write() -> None:
        edit(chain_edit.set_densities, st.session_state[key])

    st.selectbox(t(label), words, key=key, format_func=lambda word: t(f"chain.densities_{word}"), on_change=write,
                 help=t(help) if help else None)  # fmt: skip
    if value == "each":
        numbers("chain.densities_list", path, help="chain.densities_list_help")


EXAMPLES = {"languages": "eng_Latn", "prefixes": "translate English to German: "}
"""What a line of a key may look like; others are folders."""


def line_pair(label: str, path: Path, *, help: str | None = None) -> None:
    """Two lines of text, one below the other; both empty stand for null."""
    for number in range(2):
        _half(t(f"{label}_there") if number == 0 else t(f"{label}_back"), path, number, help)


def _half(name: str, path: Path, number: int, help: str | None) -> None:
    key = f"{build_key(path)}/{number}"
    shown = _read_half(path, number) or ""
    if st.session_state.get(key) != shown:
        st.session_state[key] = shown
    st.text_input(name, key=key, on_change=_write_half, args=(path, number), help=t(help) if help else None,
                  placeholder=EXAMPLES.get(str(path[-1]), "/path/to/model"))  # fmt: skip


def pair(label: str, path: Path, columns: Sequence[str]) -> None:
    """Two columns; both empty stand for null."""
    for number in range(2):
        key, value = f"{build_key(path)}/{number}", _read_half(path, number) or None
        if st.session_state.get(key) != value:
            st.session_state[key] = value
        known = list(columns) if value is None or value in columns else [value, *columns]
        name = t(f"{label}_first") if number == 0 else t(f"{label}_second")
        st.selectbox(name, known, index=None, key=key, on_change=_write_half, args=(path, number),
                     placeholder=t("chain.not_set"), help=t(f"{label}_help"))  # fmt: skip


def _read_half(path: Path, number: int) -> str | None:
    value = read(path)
    found = value[number] if isinstance(value, list | tuple) and number < len(value) else None
    return found if isinstance(found, str) else None


def _write_half(path: Path, number: int) -> None:
    halves = [_read_half(path, index) or "" for index in range(2)]
    halves[number] = st.session_state[f"{build_key(path)}/{number}"] or ""
    edit(chain_edit.set_value, path, halves if any(halves) else None)


def targets(label: str, path: Path, known: tuple[str, ...]) -> None:
    """Names of linear layers; none chosen stands for all of them."""
    _names(label, path, known, "all-linear")


def _names(label: str, path: Path, known: tuple[str, ...], every: str | None) -> None:
    """Any of some names; none chosen stands for `every`."""
    key, value = build_key(path), read(path)
    chosen = [name for name in value if isinstance(name, str)] if isinstance(value, list) else []
    if st.session_state.get(key) != chosen:
        st.session_state[key] = chosen

    def write() -> None:
        names = st.session_state[key]
        edit(chain_edit.set_value, path, list(names) if names else every)

    st.multiselect(t(label), list(dict.fromkeys([*known, *chosen])), key=key, on_change=write,
                   placeholder=t(f"{label}_all"), help=t(f"{label}_help"))  # fmt: skip


def heads(label: str, path: Path, *, help: str | None = None) -> None:
    """Names of heads; none chosen stands for all of them."""
    known = read(("heads",))
    _names(label, path, tuple(known) if isinstance(known, dict) else (), None)


def metric(label: str, path: Path, *, help: str | None = None) -> None:
    """The mean of all heads, or one figure of one of them."""
    options = ["mean", *offer_metrics(read(("heads",)), read(("stages",)))]
    pick(label, path, options, name=lambda option: t("chain.metric_mean") if option == "mean" else option, help=help,
         off=None)  # fmt: skip
