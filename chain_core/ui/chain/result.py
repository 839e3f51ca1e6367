"""What the draft comes to: the drawing, the plan in figures, the Train button, the YAML."""

from __future__ import annotations

import streamlit as st

from chain_core.config import Config, dump_mapping, dump_yaml, load_yaml, resolve_config
from chain_core.errors import ChainError, ConfigError
from chain_core.modeling.plan import Part, Plan
from chain_core.paths import get_home
from chain_core.services.drafts.checks import Inspection
from chain_core.ui.backend import get_supervisor
from chain_core.ui.chain.drawing import build_drawing
from chain_core.ui.chain.fields import line
from chain_core.ui.chain.groups import show_problems
from chain_core.ui.chain.marks import format_count
from chain_core.ui.data.words import format_notes
from chain_core.ui.draft import get_draft, get_parent, set_draft
from chain_core.ui.language import get_language, t
from chain_core.ui.shell import escape_markdown, go_to, show_error

LARGEST_UPLOAD = 1_000_000
_LAST_DRAWING = "chain_last_drawing"


def show_drawing(inspection: Inspection) -> None:
    """The chain as a picture; while something is wrong, the last one that could be drawn, faded."""
    if inspection.built is not None and inspection.plan is not None:
        drawing = build_drawing(inspection.built, inspection.plan, t)
        st.session_state[_LAST_DRAWING] = drawing
    elif _LAST_DRAWING in st.session_state:
        drawing = f'<div class="chain-faded">{st.session_state[_LAST_DRAWING]}</div>'
    else:
        st.info(t("chain.no_drawing"), icon=":material/schema:")
        return
    st.markdown(drawing, unsafe_allow_html=True)
    if inspection.config is not None and inspection.config.stages:
        st.caption(_name_stages(inspection.config))


def _name_stages(config: Config) -> str:
    """`1 hidden words, 2 epochs → 2 the heads' tasks, 10 epochs`."""
    phases = []
    for number, stage in enumerate(config.stages or (), start=1):
        name = escape_markdown(stage.name) if stage.name else t(f"chain.objective_{stage.objective}")
        phases.append(t("chain.stage_line", number=number, name=name, epochs=stage.epochs))
    return " → ".join(phases)


def show_plan(inspection: Inspection) -> None:
    """Trainable parameters, memory and time; each part's share behind a fold."""
    plan = inspection.plan
    if plan is None:
        return
    with st.container(horizontal=True, key="chain_figures"):
        st.metric(t("chain.trainable"), format_count(plan.trainable), help=t("chain.trainable_help"), width="content")
        st.metric(t("chain.memory"), format_bytes(plan.memory), help=t("chain.memory_help"), width="content")
        seconds = "–" if plan.seconds is None else format_seconds(plan.seconds)
        st.metric(t("chain.seconds"), seconds, help=t("chain.seconds_help"), width="content")
    sizes = inspection.sizes or {}
    if sizes:
        st.caption(
            t("chain.rows", train=sizes["train"], validation=sizes.get("validation", 0), test=sizes.get("test", 0))
        )
    with st.expander(t("chain.parameters"), key="chain_parameters"):
        st.dataframe(_build_rows(plan), hide_index=True, column_config={
            t("chain.part"): st.column_config.TextColumn(width="medium"),
            t("chain.trainable"): st.column_config.NumberColumn(format="localized"),
            t("chain.all_parameters"): st.column_config.NumberColumn(format="localized"),
        })  # fmt: skip
        if plan.disk:
            st.caption(t("chain.disk", size=format_bytes(plan.disk)))


def show_train(inspection: Inspection, waiting: bool) -> None:
    """The run's name and the button; where it is off, the sentence that says why."""
    line("chain.run_name", ("name",), limit=120)
    show_problems(inspection, "", "name", "preset")
    problems = inspection.problems
    if waiting:
        st.caption(t("chain.train_waits"))
    elif problems:
        first = problems[0].error.text(get_language())
        st.caption(f":material/block: {t('chain.train_off', reason=escape_markdown(first))}")
    if inspection.notes:
        st.info(format_notes(inspection.notes), icon=":material/info:")
    off = waiting or bool(problems) or inspection.config is None
    label, icon = t("chain.train"), ":material/play_arrow:"
    if st.button(label, type="primary", icon=icon, disabled=off, width="stretch", key="chain_train"):
        assert inspection.config is not None
        try:
            run_id = get_supervisor().submit(inspection.config, get_home(), parent=get_parent())
        except ChainError as error:
            show_error(error)
            return
        go_to("runs", run=run_id)


def show_yaml(inspection: Inspection) -> None:
    """The draft as the file that gives the same run; a file can take its place."""
    with st.expander(t("chain.yaml"), icon=":material/code:", key="chain_yaml"):
        st.caption(t("chain.yaml_help"))
        complete = st.toggle(t("chain.yaml_complete"), key="chain_yaml_complete")
        if complete and inspection.config is not None:
            text = dump_yaml(inspection.config)
        else:
            text = dump_mapping(get_draft() or {})
        st.code(text, language="yaml", height=360 if complete else "content", wrap_lines=True)
        st.download_button(t("chain.yaml_download"), text.encode(), file_name="chain.yaml", mime="application/yaml",
                           on_click="ignore", icon=":material/download:")  # fmt: skip
        _show_upload()


def _show_upload() -> None:
    version = st.session_state.setdefault("chain_upload_version", 0)
    uploaded = st.file_uploader(
        t("chain.yaml_upload"), type=["yaml", "yml"], key=f"chain_upload_{version}", max_upload_size=1
    )
    if uploaded is not None:
        try:
            set_draft(read_upload(uploaded.getvalue()), parent=None)
        except ConfigError as error:
            show_error(error)
            return
        st.session_state["chain_upload_version"] += 1
        st.session_state["chain_uploaded"] = uploaded.name
        st.rerun()
    name = st.session_state.pop("chain_uploaded", None)
    if name:
        st.toast(t("chain.yaml_taken", name=escape_markdown(name)), icon=":material/check:")


def read_upload(content: bytes) -> dict:
    """A draft from an uploaded file. Raises ConfigError where it is not a YAML mapping in UTF-8.

    A mapping that is wrong in itself is taken all the same: the page shows what to mend, and nothing is lost.
    """
    if len(content) > LARGEST_UPLOAD:
        raise ConfigError("yaml_too_large", limit=LARGEST_UPLOAD)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ConfigError("yaml_broken", line=line, reason="not UTF-8") from None
    mapping = load_yaml(text)
    if any(not isinstance(key, str) for key in mapping):
        resolve_config(mapping)
    return mapping


def format_bytes(count: float) -> str:
    """1,234,567 -> 1.2 MB."""
    for size, unit in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB")):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count / 1e3:.0f} kB"


def format_seconds(seconds: float) -> str:
    """An estimate: 8 s, 3 min, 1 h 20 min."""
    if seconds < 90:
        return t("chain.time_seconds", count=max(1, round(seconds)))
    minutes = round(seconds / 60)
    if minutes < 90:
        return t("chain.time_minutes", count=minutes)
    return t("chain.time_hours", hours=minutes // 60, minutes=minutes % 60)


def _build_rows(plan: Plan) -> list[dict]:
    return [
        {
            t("chain.part"): _name_part(part),
            t("chain.trainable"): part.trainable,
            t("chain.all_parameters"): part.parameters,
        }
        for part in plan.parts
    ]


def _name_part(part: Part) -> str:
    if part.kind == "head":
        return t("chain.part_head", name=part.name, depth=part.position)
    if part.kind == "link":
        return t("chain.part_link", number=part.position, kind=t(f"chain.link_{part.name}"))
    return t("chain.lexical") if part.kind == "lexical" else t("chain.backbone")
