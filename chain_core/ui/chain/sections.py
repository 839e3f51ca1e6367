"""The Chain page's first sections: preset, backbone, links."""

from __future__ import annotations

from typing import Any

import streamlit as st

from chain_core.config import LORA_TUNINGS, MAX_DEPTH, TUNINGS
from chain_core.errors import BackboneError
from chain_core.modeling.backbones.catalogue import BACKBONES, BackboneFacts
from chain_core.presets import PRESETS
from chain_core.services.backbones import ask_backbone, forget_backbone, is_local
from chain_core.services.drafts.checks import Inspection
from chain_core.ui.chain import edit as chain_edit
from chain_core.ui.chain.fields import build_key, choice, edit, read, segments, slide, whole_number
from chain_core.ui.chain.groups import Context, count_changes, fold, show_group, show_problems
from chain_core.ui.chain.links import show_each_link
from chain_core.ui.chain.marks import format_count
from chain_core.ui.chain.spec import CHAIN, LINKS, MORE_LINKS, MORE_TUNING, TUNING
from chain_core.ui.draft import get_draft, set_draft
from chain_core.ui.language import t
from chain_core.ui.shell import escape_markdown

SOURCES = ("packaged", "folder", "hub")


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
    choice("chain.tuning", ("backbone", "tuning"), TUNINGS, prefix="chain.tuning")
    tuning = read(("backbone", "tuning"))
    if tuning in TUNINGS:
        st.caption(t(f"chain.tuning_{tuning}_help"))
    layers = answer.num_layers if isinstance(answer, BackboneFacts) else 128
    context = Context(inspection, highest={"layers": layers})
    show_group(TUNING, ("backbone",), context)
    changed = count_changes(MORE_TUNING, ("backbone",))
    if tuning in LORA_TUNINGS or changed:
        with fold("chain.more_tuning", changed=changed):
            show_group(MORE_TUNING, ("backbone",), context)


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
    """Depth, width and kind in sight; what else a link can be behind a fold."""
    st.subheader(t("chain.chain"), anchor=False)
    slide("chain.depth", ("chain", "depth"), 0, MAX_DEPTH, step=1, help="chain.depth_help", change=chain_edit.set_depth)
    show_problems(inspection, "chain")
    depth = chain_edit.read_depth(get_draft() or {})
    if depth == 0:
        st.caption(t("chain.no_links"))
        return
    each = isinstance(read(("chain", "links")), list)
    if each:
        whole_number("chain.width", ("chain", "width"), 8, 4096, step=32, help="chain.width_help")
        show_each_link(inspection)
    else:
        left, right = st.columns(2)
        with left:
            show_group(LINKS, ("chain", "links"), Context(inspection), columns=1)
        with right:
            whole_number("chain.width", ("chain", "width"), 8, 4096, step=32, help="chain.width_help")
    _show_more_links(inspection, each)


def _show_more_links(inspection: Inspection, each: bool) -> None:
    links = 0 if each else count_changes(MORE_LINKS, ("chain", "links"))
    with fold("chain.more_links", changed=count_changes(CHAIN, ("chain",)) + links + each):
        key = "chain_each_link"
        st.session_state[key] = each
        change = chain_edit.join_links if each else chain_edit.spread_links
        st.toggle(t("chain.each_link"), key=key, on_change=edit, args=(change,), help=t("chain.each_link_help"))
        if not each:
            show_group(MORE_LINKS, ("chain", "links"), Context(inspection))
        show_group(CHAIN, ("chain",), Context(inspection))
        _tell_outcome(inspection)


def _tell_outcome(inspection: Inspection) -> None:
    """The taps and densities that the settings come to."""
    plan, config = inspection.plan, inspection.built
    if plan is None or config is None:
        return
    taps = ", ".join(str(tap) for tap in plan.taps)
    spread = "chain.taps_even" if read(("chain", "taps")) is None else "chain.taps_given"
    st.caption(t(spread, taps=taps))
    if read(("chain", "budget")) is not None or read(("chain", "densities")) != "constant":
        shares = ", ".join(f"{config.get_link(number).density:.3g}" for number in range(1, config.chain.depth + 1))
        parameters = sum(part.parameters for part in plan.parts if part.kind == "link")
        st.caption(t("chain.densities_come_to", densities=shares, parameters=format_count(parameters)))


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
