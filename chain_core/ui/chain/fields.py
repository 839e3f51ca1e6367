"""Widgets that show one value of the draft and write it back when changed.

The draft is the only truth: each run of the page sets every widget from it, so that a page switch, another tab's draft
or an uploaded YAML all show. A value that a widget cannot show (out of range, of the wrong type) is shown as the
nearest it can; the problem itself stands beside the section.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

from chain_core.config.fields import name_switch
from chain_core.ui.chain import text as chain_text
from chain_core.ui.chain.edit import Draft, Path, complete, get_value, set_value
from chain_core.ui.draft import get_draft, set_draft
from chain_core.ui.language import t

_WHOLE = "chain_whole"
Change = Callable[[dict[str, Any], Any], dict[str, Any]]
"""(draft, the widget's value) -> the next draft."""


def build_key(path: Path) -> str:
    """The widget's key of a path in the draft."""
    return "chain:" + "/".join(str(part) for part in path)


def edit(change: Callable[..., dict[str, Any]], *arguments: Any) -> None:
    """A callback: the draft after one change."""
    set_draft(change(get_draft() or {}, *arguments))


def choice(
    label: str,
    path: Path,
    options: Sequence[str],
    *,
    prefix: str,
    help: str | None = None,
    change: Change | None = None,
) -> None:
    """One of a few words, named under `prefix` in the catalogues."""
    key = build_key(path)
    _show(key, _pick(read(path), options))
    st.selectbox(t(label), options, format_func=_name(prefix), key=key, help=_help(help), **_writes(path, change))


def segments(label: str, path: Path, options: Sequence[str], *, prefix: str, change: Change | None = None) -> None:
    """The same, all in sight."""
    key = build_key(path)
    _show(key, _pick(read(path), options))
    st.segmented_control(t(label), options, format_func=_name(prefix), key=key, required=True, **_writes(path, change))


def whole_number(
    label: str, path: Path, low: int, high: int, *, step: int = 1, help: str | None = None, off: str | None = None
) -> None:
    """An integer; with `off`, which an empty field shows, it stands for null."""
    key = build_key(path)
    value = read(path)
    shown = int(_clamp(value, low, high)) if _is_number(value) else (None if off else low)
    _show(key, shown)
    placeholder = t(off) if off else None
    st.number_input(
        t(label), low, high, value=None if off else "min", step=step, key=key, help=_help(help),
        placeholder=placeholder, **_writes(path),
    )  # fmt: skip


def real_number(
    label: str, path: Path, low: float, high: float, *, step: float, help: str | None = None, off: str | None = None
) -> None:
    """A number; with `off`, which an empty field shows, it stands for null."""
    key = build_key(path)
    value = read(path)
    shown = float(_clamp(value, low, high)) if _is_number(value) else (None if off else low)
    _show(key, shown)
    st.number_input(
        t(label), low, high, value=None if off else "min", step=step, format=_choose_format(shown or step, step),
        key=key, help=_help(help), placeholder=t(off) if off else None, **_writes(path),
    )  # fmt: skip


def slide(
    label: str,
    path: Path,
    low: float,
    high: float,
    *,
    step: float,
    help: str | None = None,
    change: Change | None = None,
) -> None:
    """A slider over integers or fractions, as `low` is."""
    key = build_key(path)
    value = read(path)
    kind = type(low)
    _show(key, kind(_clamp(value, low, high)) if _is_number(value) else low)
    st.slider(t(label), low, high, step=step, key=key, help=_help(help), **_writes(path, change))


def switch(label: str, path: Path, *, on: Any, off: Any, help: str | None = None, change: Change | None = None) -> None:
    """A toggle between two values."""
    key = build_key(path)
    _show(key, read(path) == on)

    def write(draft: dict[str, Any], value: bool) -> dict[str, Any]:
        return set_value(draft, path, on if value else off)

    st.toggle(t(label), key=key, help=_help(help), **_writes(path, change or write))


def line(label: str, path: Path, *, limit: int, help: str | None = None, off: str | None = None) -> None:
    """One line of text; with `off`, which an empty field shows, it stands for null."""
    key = build_key(path)
    value = read(path)
    _show(key, value if isinstance(value, str) else "")

    def write(draft: dict[str, Any], text: str) -> dict[str, Any]:
        return set_value(draft, path, None if off and not text else text)

    st.text_input(t(label), max_chars=limit, key=key, help=_help(help), placeholder=t(off) if off else None,
                  **_writes(path, write))  # fmt: skip


def numbers(label: str, path: Path, *, help: str | None = None, off: str = "chain.not_set") -> None:
    """A list of numbers in one line; empty stands for null. What is no list of numbers is kept as it was typed."""
    key = build_key(path)
    _show(key, chain_text.format_numbers(read(path)))

    def write(draft: dict[str, Any], text: str) -> dict[str, Any]:
        return set_value(draft, path, chain_text.read_numbers(text))

    st.text_input(t(label), key=key, help=_help(help), placeholder=t(off), **_writes(path, write))


def count(label: str, path: Path, *, help: str | None = None) -> None:
    """A number of parameters, `500k` as well; empty stands for null."""
    key = build_key(path)
    value = read(path)
    _show(key, "" if value is None else str(value))

    def write(draft: dict[str, Any], text: str) -> dict[str, Any]:
        return set_value(draft, path, chain_text.read_count(text))

    st.text_input(t(label), key=key, help=_help(help), placeholder=t("chain.not_set"), **_writes(path, write))


def pick(
    label: str,
    path: Path,
    options: Sequence[Any],
    *,
    name: Callable[[Any], str] = str,
    help: str | None = None,
    off: str | None = "chain.not_set",
    free: bool = False,
    change: Change | None = None,
) -> None:
    """One of what there is just now; a value that is not among it stays shown, with its problem beside it.

    An empty field stands for null and shows `off`; None: it cannot be emptied. `free`: anything may be typed.
    """
    key = build_key(path)
    value = read(path) or None
    known = list(options) if value is None or value in options else [value, *options]
    _show(key, value)
    st.selectbox(
        t(label), known, index=None if value is None or off else 0, key=key, format_func=name, help=_help(help),
        placeholder=t(off or "chain.choose"), accept_new_options=free, **_writes(path, change),
    )  # fmt: skip


def several(
    label: str, path: Path, options: Sequence[str], *, prefix: str, help: str | None = None, least: int = 1
) -> None:
    """At least so many of a few words, all in sight; those cannot be taken away."""
    key = build_key(path)
    value = read(path)
    _show(key, [option for option in options if option in value] if isinstance(value, list) else list(options))

    def write(draft: dict[str, Any], chosen: list[str]) -> dict[str, Any]:
        return (
            set_value(draft, path, [option for option in options if option in chosen])
            if len(chosen) >= least
            else draft
        )

    st.pills(t(label), options, format_func=_name(prefix), key=key, selection_mode="multi", help=_help(help),
             **_writes(path, write))  # fmt: skip


def read_whole() -> dict[str, Any]:
    """The draft, defaults included. A draft is never changed in place, so it is completed once."""
    draft = get_draft() or {}
    known = st.session_state.get(_WHOLE)
    if known is None or known[0] is not draft:
        known = (draft, complete(draft))
        st.session_state[_WHOLE] = known
    return known[1]


def read(path: Path) -> Any:
    """The value that stands at a path now, defaults included."""
    return get_value(read_whole(), path)


def _writes(path: Path, change: Change | None = None) -> dict[str, Any]:
    return {"on_change": _write, "args": (path, change)}


def _write(path: Path, change: Change | None) -> None:
    value = st.session_state[build_key(path)]
    draft: Draft = get_draft() or {}
    set_draft(change(dict(draft), value) if change else set_value(draft, path, value))


def _show(key: str, value: Any) -> None:
    if key not in st.session_state or st.session_state[key] != value:
        st.session_state[key] = value


def _pick(value: Any, options: Sequence[str]) -> str:
    word = name_switch(value)
    return word if word in options else options[0]


def _name(prefix: str) -> Callable[[str], str]:
    return lambda option: t(f"{prefix}_{option}")


def _help(key: str | None) -> str | None:
    return t(key) if key else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _clamp(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)


def _choose_format(value: float, step: float) -> str:
    """As many decimals as the value or its step has, so that 0.0005 does not read 0.00."""
    decimals = max(_count_decimals(value), _count_decimals(step))
    return f"%.{min(max(decimals, 2), 8)}f"


def _count_decimals(value: float) -> int:
    return len(f"{value:.8f}".rstrip("0").partition(".")[2])
