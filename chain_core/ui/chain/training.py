"""The Chain page's training: the loop in sight, regularisers, balance, stages and the start behind folds."""

from __future__ import annotations

import time
from typing import Any

import streamlit as st

from chain_core.config import SELF_SUPERVISED
from chain_core.errors import ChainError
from chain_core.services.drafts.checks import Inspection
from chain_core.ui.backend import get_store
from chain_core.ui.chain import edit as chain_edit
from chain_core.ui.chain import lists as chain_lists
from chain_core.ui.chain.fields import edit, pick, read, read_whole, whole_number
from chain_core.ui.chain.groups import Context, applies, count_changes, find_section, fold, show_group, show_problems
from chain_core.ui.chain.spec import BALANCE, MORE_TRAINING, REGULARISERS, STAGE, START
from chain_core.ui.draft import get_draft
from chain_core.ui.language import t

OBJECTIVES = ("tasks", *SELF_SUPERVISED)


def show_training(inspection: Inspection) -> None:
    """Epochs and batch size in sight, the rest behind folds, each for one purpose."""
    st.subheader(t("chain.training"), anchor=False)
    left, right = st.columns(2)
    with left:
        if chain_lists.list_stages(get_draft() or {}):
            st.caption(t("chain.epochs_in_stages"))
        else:
            whole_number("chain.epochs", ("train", "epochs"), 1, 10_000, help="chain.epochs_help")
    with right:
        whole_number(
            "chain.batch_size", ("train", "batch_size"), 1, 4096, help="chain.batch_size_help", off="chain.automatic"
        )
    show_problems(inspection, "train", "stages", "start")
    context = Context(inspection)
    for label, group in (("chain.more_training", MORE_TRAINING), ("chain.regularisers", REGULARISERS)):
        with fold(label, changed=count_changes(group, ("train",))):
            show_group(group, ("train",), context)
    changed = count_changes(BALANCE, ("train",))
    if changed or applies(BALANCE, ("train",)):
        with fold("chain.balance", changed=changed):
            show_group(BALANCE, ("train",), context)
    _show_stages(inspection)
    _show_start(inspection)


def _show_stages(inspection: Inspection) -> None:
    """One box a stage, in their order."""
    stages = chain_lists.list_stages(get_draft() or {})
    with fold("chain.stages", mark=str(len(stages) or ""), wrong=_is_wrong(inspection, "stages")):
        for index in range(len(stages)):
            with st.container(border=True):
                _show_stage(index, len(stages), inspection)
        key = "chain_add_stage_objective"
        with st.popover(t("chain.add_stage"), icon=":material/add:", key="chain_add_stage"):
            st.selectbox(t("chain.objective"), OBJECTIVES, key=key, help=t("chain.objective_help"),
                         format_func=lambda objective: t(f"chain.objective_{objective}"))  # fmt: skip
            st.button(t("chain.add"), type="primary", on_click=_add_stage, args=(key,), key="chain_add_stage_button")


def _add_stage(key: str) -> None:
    edit(chain_lists.add_stage, st.session_state[key])


def _show_stage(index: int, count: int, inspection: Inspection) -> None:
    row = st.container(horizontal=True, vertical_alignment="center", gap="small")
    row.markdown(f"**{t('chain.stage_number', number=index + 1)}**", width="stretch")
    moves: tuple[tuple[str, Any, tuple[int, ...], bool], ...] = (
        ("up", chain_lists.move_stage, (index, -1), index == 0),
        ("down", chain_lists.move_stage, (index, 1), index == count - 1),
        ("remove", chain_lists.remove_stage, (index,), False),
    )
    icons = {"up": "arrow_upward", "down": "arrow_downward", "remove": "delete"}
    for what, change, arguments, off in moves:
        row.button("", key=f"chain_stage_{index}_{what}", icon=f":material/{icons[what]}:", type="tertiary",
                   help=t(f"chain.stage_{what}"), disabled=off, on_click=edit, args=(change, *arguments))  # fmt: skip
    depth = chain_edit.read_depth(get_draft() or {})
    show_group(STAGE, ("stages", index), Context(inspection, highest={"depth": depth}))


def _show_start(inspection: Inspection) -> None:
    """A run whose chain this one takes over."""
    given = isinstance(read_whole().get("start"), dict)
    runs, run = _list_runs(), read(("start", "run"))
    mark = str(runs.get(run, run)) if given and isinstance(run, str) else ""
    with fold("chain.start", mark=mark, wrong=_is_wrong(inspection, "start")):
        pick("chain.start_run", ("start", "run"), list(runs), name=lambda run: runs.get(run, str(run)), free=True,
             help="chain.start_run_help", off="chain.start_none", change=chain_lists.set_start)  # fmt: skip
        if given:
            show_group(START, ("start",), Context(inspection))


def _list_runs() -> dict[str, str]:
    """Id -> name and time of every run that left a model."""
    try:
        runs = get_store().list_runs(50, ("finished", "stopped"))
    except ChainError:
        return {}
    return {
        run.id: f"{run.name} · {time.strftime('%Y-%m-%d %H:%M', time.localtime(run.created))}"
        for run in runs
        if run.has_report
    }


def _is_wrong(inspection: Inspection, section: str) -> bool:
    return any(find_section(problem.path) == section for problem in inspection.problems)
