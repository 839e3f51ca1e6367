"""The Chain page's sections above the heads: preset, backbone, links, training."""

from __future__ import annotations

from typing import Any

import streamlit as st

from chain_core.config import MAX_DEPTH
from chain_core.errors import BackboneError
from chain_core.modeling.catalogue import BACKBONES, BackboneFacts
from chain_core.presets import PRESETS
from chain_core.services.backbones import ask_backbone, forget_backbone, is_local
from chain_core.services.checks import Inspection
from chain_core.ui import chain_edit
from chain_core.ui.chain_drawing import format_count
from chain_core.ui.chain_fields import (
    build_key,
    choice,
    edit,
    line,
    read,
    real_number,
    segments,
    slide,
    switch,
    whole_number,
)
from chain_core.ui.chain_links import show_each_link
from chain_core.ui.draft import get_draft, set_draft
from chain_core.ui.language import get_language, t
from chain_core.ui.shell import escape_markdown

METRICS = {
    "classification": ("accuracy", "macro_f1", "weighted_f1"),
    "multilabel": ("micro_f1", "macro_f1", "exact_match"),
    "regression": ("r2", "mae", "rmse", "spearman"),
    "tagging": ("entity_f1", "entity_precision", "entity_recall", "token_accuracy", "token_micro_f1", "token_macro_f1"),
}
"""Head kind -> what its report measures, the main figure first."""
SOURCES = ("packaged", "folder", "hub")


def show_problems(inspection: Inspection, *sections: str) -> None:
    """What is wrong with some sections of the draft, under their heading."""
    seen = set()
    for problem in inspection.problems:
        if problem.path.split(".")[0].split("[")[0] in sections:
            sentence = problem.error.text(get_language())
            if sentence not in seen:
                st.error(escape_markdown(sentence), icon=":material/error:")
            seen.add(sentence)


def show_preset() -> None:
    """Three sets of defaults, all in sight."""
    segments("chain.preset", ("preset",), tuple(PRESETS), prefix="chain.preset", change=chain_edit.choose_preset)
    preset = read(("preset",))
    if preset in PRESETS:
        changed = chain_edit.list_changes(get_draft() or {})
        st.caption(t(f"chain.preset_{preset}_help") + (" " + t("chain.preset_changed") if changed else ""))


def show_backbone(inspection: Inspection, answer: BackboneFacts | BackboneError | None) -> None:
    """Which pretrained model, and how it is tuned."""
    st.subheader(t("chain.backbone"), anchor=False)
    name = read(("backbone", "name"))
    source = _choose_source(name if isinstance(name, str) else "")
    if source == "packaged":
        _pick_packaged(name)
    else:
        key = build_key(("backbone", "name"))
        shown = name if isinstance(name, str) and name not in BACKBONES else ""
        if st.session_state.get(key) != shown:
            st.session_state[key] = shown
        placeholder = t(f"chain.backbone_{source}_placeholder")
        st.text_input(t(f"chain.backbone_{source}"), key=key, placeholder=placeholder, on_change=_write_name)
    _show_answer(name, answer)
    show_problems(inspection, "backbone")
    segments("chain.tuning", ("backbone", "tuning"), ("frozen", "lora", "full"), prefix="chain.tuning")
    tuning = read(("backbone", "tuning"))
    if tuning in ("lora", "full"):
        _show_tuning(tuning, inspection, answer if isinstance(answer, BackboneFacts) else None)


def _show_answer(name: Any, answer: BackboneFacts | BackboneError | None) -> None:
    """What became of the question for a backbone; while a hub is asked, look again every second."""
    if isinstance(answer, BackboneError):
        if not is_local(name):
            st.button(t("chain.ask_again"), key="chain_ask_again", on_click=forget_backbone, args=(name,))
    elif answer is None:
        if isinstance(name, str) and name:
            _wait_for_hub(name)
    else:
        parts = {"layers": answer.num_layers, "width": answer.hidden_size, "length": answer.max_length}
        st.caption(t("chain.backbone_facts", **parts, parameters=format_count(answer.parameters)))


@st.fragment(run_every=1.0)
def _wait_for_hub(name: str) -> None:
    if ask_backbone(name) is not None:
        st.rerun()
    st.info(t("chain.asking_hub", name=escape_markdown(name)), icon=":material/cloud_download:")


def show_links(inspection: Inspection) -> None:
    """Depth, width, and what each link is."""
    st.subheader(t("chain.chain"), anchor=False)
    slide("chain.depth", ("chain", "depth"), 0, MAX_DEPTH, step=1, help="chain.depth_help", change=chain_edit.set_depth)
    show_problems(inspection, "chain")
    depth = chain_edit.read_depth(get_draft() or {})
    if depth == 0:
        st.caption(t("chain.no_links"))
        return
    left, right = st.columns(2)
    with left:
        whole_number("chain.width", ("chain", "width"), 8, 4096, step=32, help="chain.width_help")
    with right:
        choice(
            "chain.lexical",
            ("chain", "lexical"),
            ("auto", "on", "off"),
            prefix="chain.lexical",
            help="chain.lexical_help",
        )
    each = isinstance(read(("chain", "links")), list)
    key = "chain_each_link"
    st.session_state[key] = each
    change = chain_edit.join_links if each else chain_edit.spread_links
    st.toggle(t("chain.each_link"), key=key, on_change=edit, args=(change,), help=t("chain.each_link_help"))
    if each:
        show_each_link(inspection)
    else:
        _show_all_links()
    if inspection.plan is not None:
        taps = ", ".join(str(tap) for tap in inspection.plan.taps)
        spread = "chain.taps_even" if read(("chain", "taps")) is None else "chain.taps_given"
        st.caption(t(spread, taps=taps))


def show_training(inspection: Inspection) -> None:
    """The loop's settings; the first four in sight, the rest behind a fold."""
    st.subheader(t("chain.training"), anchor=False)
    left, right = st.columns(2)
    with left:
        whole_number("chain.epochs", ("train", "epochs"), 1, 10_000)
    with right:
        whole_number("chain.batch_size", ("train", "batch_size"), 1, 4096)
    show_problems(inspection, "train", "input")
    with st.expander(t("chain.more_training"), key="chain_more_training"):
        left, right = st.columns(2)
        with left:
            real_number(
                "chain.learning_rate",
                ("train", "learning_rate"),
                1e-8,
                10.0,
                step=1e-4,
                help="chain.learning_rate_help",
            )
            real_number("chain.weight_decay", ("train", "weight_decay"), 0.0, 10.0, step=0.01)
            choice("chain.schedule", ("train", "schedule"), ("linear", "cosine", "constant"), prefix="chain.schedule")
            whole_number("chain.patience", ("train", "patience"), 1, 10_000, off=True, help="chain.patience_help")
            choice("chain.precision", ("train", "precision"), ("auto", "fp32", "bf16"), prefix="chain.precision")
            whole_number("chain.max_length", ("input", "max_length"), 4, 8192, off=True, help="chain.max_length_help")
        with right:
            if read(("backbone", "tuning")) == "frozen":
                whole_number("chain.seed", ("train", "seed"), 0, 2**32 - 1)
            else:
                path = ("train", "backbone_learning_rate")
                real_number("chain.backbone_learning_rate", path, 1e-8, 10.0, step=1e-5)
                whole_number("chain.seed", ("train", "seed"), 0, 2**32 - 1)
            slide("chain.warmup", ("train", "warmup"), 0.0, 1.0, step=0.01, help="chain.warmup_help")
            real_number("chain.clip", ("train", "clip"), 1e-6, 1e6, step=0.1, off=True, help="chain.clip_help")
            _pick_metric()
            line("chain.device", ("train", "device"), limit=8, help="chain.device_help")


def _show_all_links() -> None:
    left, right = st.columns(2)
    with left:
        choice("chain.link_kind", ("chain", "links", "kind"), ("auto", "linear", "bottleneck", "attention"),
               prefix="chain.link", help="chain.link_kind_help")  # fmt: skip
        slide("chain.density", ("chain", "links", "density"), 0.05, 1.0, step=0.05, help="chain.density_help")
    with right:
        choice(
            "chain.init",
            ("chain", "links", "init"),
            ("identity", "random"),
            prefix="chain.init",
            help="chain.init_help",
        )
        slide("chain.dropout", ("chain", "links", "dropout"), 0.0, 0.9, step=0.05)
    left, right = st.columns(2)
    with left:
        switch("chain.freeze", ("chain", "links", "strategy"), on="freeze", off="train", help="chain.freeze_help")
    with right:
        switch("chain.detach", ("chain", "links", "detach"), on=True, off=False, help="chain.detach_help")


def _show_tuning(tuning: str, inspection: Inspection, facts: BackboneFacts | None) -> None:
    limit = facts.num_layers if facts else 128
    left, right = st.columns(2)
    with left:
        whole_number("chain.layers", ("backbone", "layers"), 1, limit, off=True, help="chain.layers_help")
        if tuning == "lora":
            real_number("chain.alpha", ("backbone", "alpha"), 0.01, 1e6, step=1.0, help="chain.alpha_help")
    with right:
        if tuning == "lora":
            whole_number("chain.rank", ("backbone", "rank"), 1, 512, help="chain.rank_help")
            slide("chain.lora_dropout", ("backbone", "dropout"), 0.0, 0.9, step=0.05)
    if tuning == "lora":
        _pick_targets(inspection.targets)


def _pick_targets(known: tuple[str, ...]) -> None:
    path = ("backbone", "targets")
    key, value = build_key(path), read(path)
    chosen = [name for name in value if isinstance(name, str)] if isinstance(value, list) else []
    if st.session_state.get(key) != chosen:
        st.session_state[key] = chosen
    options = list(dict.fromkeys([*known, *chosen]))

    def write() -> None:
        names = st.session_state[key]
        edit(chain_edit.set_value, path, list(names) if names else "all-linear")

    st.multiselect(t("chain.targets"), options, key=key, on_change=write,
                   placeholder=t("chain.targets_all"), help=t("chain.targets_help"))  # fmt: skip


def _pick_metric() -> None:
    path = ("train", "metric")
    key, value = build_key(path), read(path)
    options = ["mean"]
    heads = read(("heads",))
    for name, head in heads.items() if isinstance(heads, dict) else ():
        if isinstance(head, dict):
            options += [f"{name}/{metric}" for metric in METRICS.get(str(head.get("kind")), ())]
    if value not in options:
        options.append(str(value))
    if st.session_state.get(key) != value:
        st.session_state[key] = value

    def write() -> None:
        edit(chain_edit.set_value, path, st.session_state[key])

    st.selectbox(t("chain.metric"), options, key=key, on_change=write, help=t("chain.metric_help"),
                 format_func=lambda option: t("chain.metric_mean") if option == "mean" else option)  # fmt: skip


def _choose_source(name: str) -> str:
    """Package, folder or hub: as the name says, unless the person is about to give another name."""
    known = "packaged" if name in BACKBONES else "folder" if is_local(name) else "hub"
    chosen = st.session_state.get("chain_source_chosen", {}).get(name)
    current = chosen or known
    key = "chain_source"
    if st.session_state.get(key) != current:
        st.session_state[key] = current

    def write() -> None:
        st.session_state["chain_source_chosen"] = {name: st.session_state[key]}

    st.segmented_control(t("chain.backbone_source"), SOURCES, format_func=lambda option: t(f"chain.source_{option}"),
                         key=key, required=True, on_change=write, label_visibility="collapsed")  # fmt: skip
    return current


def _pick_packaged(name: Any) -> None:
    key = "chain_packaged"
    options = list(BACKBONES)
    shown = name if name in BACKBONES else None
    if st.session_state.get(key) != shown:
        st.session_state[key] = shown

    def write() -> None:
        edit(chain_edit.set_value, ("backbone", "name"), st.session_state[key])

    index = 0 if shown else None
    st.selectbox(t("chain.backbone_packaged"), options, index=index, key=key, on_change=write,
                 placeholder=t("chain.choose"))  # fmt: skip


def _write_name() -> None:
    value = st.session_state[build_key(("backbone", "name"))].strip()
    if value:
        set_draft(chain_edit.set_value(get_draft() or {}, ("backbone", "name"), value))
