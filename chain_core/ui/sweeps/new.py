"""A sweep made from the draft: which keys, which values, how many runs that is, and what is wrong with them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import streamlit as st

from chain_core.errors import ChainError, ConfigError
from chain_core.paths import get_home
from chain_core.services.backbones import ask_backbone
from chain_core.services.machine import load_machine
from chain_core.services.sweeps.axes import Axis, build_choices, build_range, read_axis
from chain_core.services.sweeps.checks import Finding, SweepCheck, check_sweep
from chain_core.services.sweeps.steps import advance_sweep, start_sweep
from chain_core.services.sweeps.sweep import MOST_RUNS, PRUNERS, Sweep
from chain_core.ui.backend import get_store
from chain_core.ui.chain.result import format_seconds
from chain_core.ui.data.words import format_notes
from chain_core.ui.draft import get_draft
from chain_core.ui.language import get_language, t
from chain_core.ui.shell import escape_markdown, go_to, guard
from chain_core.ui.sweeps.keys import Key, list_keys, suggest_range, suggest_values
from chain_core.ui.sweeps.text import describe_settings, name_key, name_value

MOST_FINDINGS = 8
_CHECKED = "sweep_checked"
_FIRST = ["chain.depth"]


def show_new(sweeps: int) -> None:
    """The form, folded away where there are sweeps to look at, and once another one has begun."""
    label, icon = t("sweeps.new"), ":material/add:"
    with st.expander(label, icon=icon, expanded=not sweeps, key=f"sweep_new_{sweeps}"):
        draft = get_draft()
        if not draft:
            st.markdown(t("sweeps.no_draft"))
            if st.button(t("chain.empty_action"), key="sweep_choose_data"):
                go_to("data")
            return
        _show_form(draft)


def _show_form(draft: dict[str, Any]) -> None:
    name = str(draft.get("name") or "chain")
    st.caption(t("sweeps.from_draft", name=escape_markdown(name)))
    keys = list_keys(draft)
    kind = st.segmented_control(
        t("sweeps.kind"), ["grid", "search"], format_func=lambda kind: t(f"sweeps.kind_{kind}"), default="grid",
        required=True, key="sweep_kind",
    )  # fmt: skip
    st.caption(t(f"sweeps.kind_{kind}_help"))
    chosen = st.multiselect(
        t("sweeps.axes"), list(keys), default=_FIRST, format_func=lambda path: f"{name_key(keys[path])} — {path}",
        placeholder=t("sweeps.axes_placeholder"), key="sweep_axes", help=t("sweeps.axes_help"),
    )  # fmt: skip
    axes, errors = [], []
    for path in chosen:
        try:
            axes.append(_show_axis(keys[path], search=kind == "search"))
        except ConfigError as error:
            errors.append(Finding(path, error, ()))
    options = _show_search() if kind == "search" else {}
    sweep = Sweep(name, "search" if kind == "search" else "grid", draft, str(get_home()), tuple(axes), **options)
    check = SweepCheck(sweep, 0, tuple(errors), (), None) if errors else _check(sweep)
    _show_check(check, keys)


def _show_axis(key: Key, *, search: bool) -> Axis:
    """Values to choose and to type, or the two ends of a search. Raises ConfigError where they are no axis."""
    label = escape_markdown(name_key(key))
    if search and key.numeric:
        low, high, log = suggest_range(key)
        return _show_range(key, label, low, high, log)
    suggested = suggest_values(key)
    options = list(key.limits.options) if key.limits.kind == "choice" else suggested
    texts = [_write(option) for option in options]
    values = dict(zip(texts, options, strict=True))
    typed = st.multiselect(
        label, texts, default=[_write(value) for value in suggested], accept_new_options=key.limits.kind not in
        ("choice", "switch"), format_func=lambda text: name_value(values.get(text, text), key),
        key=f"sweep_values:{key.path}", help=t("sweeps.values_help") if key.numeric else None,
        placeholder=t("sweeps.values_placeholder"),
    )  # fmt: skip
    if len(typed) == 1 and ".." in typed[0]:
        return read_axis(key.path, typed[0])
    found: list[Any] = []
    for text in typed:
        found += [values[text]] if text in values else read_axis(key.path, text).list_values()
    return build_choices(key.path, found)


def _write(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _show_range(key: Key, label: str, low: float, high: float, log: bool) -> Axis:
    left, right, scale = st.columns([3, 3, 2], vertical_alignment="bottom")
    whole = key.limits.kind == "whole"
    form: dict[str, Any] = {"step": 1, "format": "%d"} if whole else {"format": "%.6g", "step": None}
    kind = int if whole else float
    with left:
        first = st.number_input(t("sweeps.from", name=label), value=kind(low), key=f"sweep_low:{key.path}", **form)
    with right:
        last = st.number_input(t("sweeps.to", name=label), value=kind(high), key=f"sweep_high:{key.path}", **form)
    with scale:
        ratio = st.toggle(t("sweeps.log"), log, key=f"sweep_log:{key.path}", help=t("sweeps.log_help"))
    return build_range(key.path, first, last, log=ratio, whole=whole)


def _show_search() -> dict[str, Any]:
    left, middle, right = st.columns(3)
    with left:
        count = st.number_input(t("sweeps.count"), 1, MOST_RUNS, 20, key="sweep_count", help=t("sweeps.count_help"))
    with middle:
        pruner = st.selectbox(
            t("sweeps.pruner"), PRUNERS, format_func=lambda name: t(f"sweeps.pruner_{name}"), key="sweep_pruner",
            help=t("sweeps.pruner_help"),
        )  # fmt: skip
    with right:
        seed = st.number_input(t("sweeps.seed"), 0, 2**31 - 1, 0, key="sweep_seed", help=t("sweeps.seed_help"))
    return {"count": int(count), "pruner": pruner, "seed": int(seed)}


def _check(sweep: Sweep) -> SweepCheck | None:
    """What is known of it; None while a hub is asked for a backbone. Looked at again only where something changed."""
    waiting: list[str] = []

    def ask(name: str) -> Any:
        answer = ask_backbone(name)
        if answer is None:
            waiting.append(name)
        return answer

    mark = json.dumps(sweep.to_json(), sort_keys=True, default=str)
    known = st.session_state.get(_CHECKED)
    if known is None or known[0] != mark:
        with st.spinner(t("sweeps.checking")):
            known = (mark, check_sweep(sweep, ask, _read_rate()))
        if waiting:
            return None
        st.session_state[_CHECKED] = known
    return known[1]


def _read_rate() -> float | None:
    try:
        machine = load_machine(get_store())
    except ChainError:
        return None
    return machine.gflops.get(machine.precision or "")


def _show_check(check: SweepCheck | None, keys: dict[str, Key]) -> None:
    """How many runs and how long, or everything that is wrong; and the button."""
    if check is None:
        st.info(t("sweeps.asking"), icon=":material/cloud_download:")
        return
    left_out = bool(check.combinations) and bool(check.findings)
    for finding in check.findings[:MOST_FINDINGS]:
        _show_finding(finding, keys, warn=left_out)
    if len(check.findings) > MOST_FINDINGS:
        st.caption(t("sweeps.more_findings", count=len(check.findings) - MOST_FINDINGS))
    told = [_place(format_notes([remark.note]), remark.settings, keys) for remark in check.remarks[:MOST_FINDINGS]]
    if len(check.remarks) > MOST_FINDINGS:
        told.append(t("sweeps.more_remarks", count=len(check.remarks) - MOST_FINDINGS))
    if told:
        st.info("\n\n".join(told), icon=":material/info:")
    count = len(check.combinations) if check.sweep.kind == "grid" else check.count
    fine = bool(count) and (left_out or not check.findings)
    if fine:
        told = [t("sweeps.comes_to", count=count)]
        if left_out:
            told.append(t("sweeps.left_out", count=check.count - count))
        if check.seconds:
            told.append(t("sweeps.takes", time=format_seconds(check.seconds)))
        st.markdown(" · ".join(told))
    if st.button(t("sweeps.start"), type="primary", icon=":material/play_arrow:", disabled=not fine, key="sweep_start"):
        sweep = replace(check.sweep, name=check.sweep.name[:80])
        group_id = guard(lambda: start_sweep(get_store(), sweep, list(check.combinations)))
        guard(lambda: advance_sweep(get_store(), group_id))
        st.query_params["sweep"] = group_id
        st.rerun()


def _show_finding(finding: Finding, keys: dict[str, Key], *, warn: bool) -> None:
    sentence = escape_markdown(finding.error.text(get_language()))
    show = st.warning if warn else st.error
    show(_place(sentence, finding.settings, keys), icon=":material/block:")


def _place(sentence: str, settings: Sequence[dict[str, Any]], keys: dict[str, Key]) -> str:
    """The sentence, and under it the settings that it is about."""
    where = _describe_where(settings, keys)
    return f"{sentence}  \n{where}" if where else sentence


def _describe_where(settings: Sequence[dict[str, Any]], keys: dict[str, Key]) -> str:
    named = [setting for setting in settings if setting]
    if not named:
        return ""
    shown = "; ".join(describe_settings(setting, keys) for setting in named[:3])
    if len(named) > 3:
        shown = t("sweeps.and_more", settings=shown, count=len(named) - 3)
    return t("sweeps.where", settings=escape_markdown(shown))
