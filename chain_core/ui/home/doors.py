"""Three ways in: a sample, one's own table, a YAML file."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import streamlit as st

from chain_core.config import load_yaml, merge, resolve_config
from chain_core.data.samples import SAMPLES, Sample, load_sample
from chain_core.data.schema import infer_columns, suggest_config
from chain_core.data.store import read_table
from chain_core.errors import ConfigError
from chain_core.messages import load_catalogue
from chain_core.ui.backend import get_store
from chain_core.ui.draft import set_draft
from chain_core.ui.language import get_language, t
from chain_core.ui.shell import go_to, guard

QUICKEST = "tiny"


def show_doors() -> None:
    """Side by side where there is room."""
    samples, table, file = st.columns([2, 1, 1])
    with samples, st.container(border=True, height="stretch"):
        _show_samples()
    with table, st.container(border=True, height="stretch"):
        st.markdown(f"#### {t('home.table')}")
        st.markdown(t("home.table_text"))
        if st.button(t("home.table_action"), icon=":material/upload:", key="door_table"):
            go_to("data")
    with file, st.container(border=True, height="stretch"):
        _show_yaml()


def _show_samples() -> None:
    st.markdown(f"#### {t('home.sample')}")
    st.markdown(t("home.sample_text"))
    samples = list(SAMPLES.values())
    for start in range(0, len(samples), 2):
        for place, sample in zip(st.columns(2), samples[start : start + 2], strict=False):
            with place:
                _show_sample(sample)


def _show_sample(sample: Sample) -> None:
    clicked = st.button(
        _translate(f"home.sample_{sample.name}") or sample.name,
        key=f"door_{sample.name}",
        help=_translate(f"home.sample_{sample.name}_text"),
        type="primary" if sample.name == QUICKEST else "secondary",
        width="stretch",
    )
    st.caption(t("home.sample_facts", rows=sample.rows, heads=" · ".join(sample.heads)))
    if clicked:
        with st.spinner(t("home.sample_loading")):
            set_draft(guard(partial(build_sample_draft, sample.name)), parent=None)
        go_to("chain")


def _show_yaml() -> None:
    st.markdown(f"#### {t('home.yaml')}")
    st.markdown(t("home.yaml_text"))
    file = st.file_uploader(
        t("home.yaml_action"), type=["yaml", "yml"], key="door_yaml", label_visibility="collapsed", max_upload_size=1
    )
    if file is not None:
        content = file.getvalue()
        set_draft(guard(lambda: read_yaml_draft(content)), parent=None)
        go_to("chain")


def build_sample_draft(name: str) -> dict[str, Any]:
    """A draft that trains a sample as it is: its data set stored, its columns' roles inferred."""
    data_set = load_sample(name)
    get_store().add_data_set(data_set)
    suggested = suggest_config(infer_columns(read_table(data_set)))
    start: Mapping[str, Any] = {"name": name, "data": {"train": data_set.id}}
    return merge(merge(start, suggested), SAMPLES[name].overrides)


def read_yaml_draft(content: bytes) -> dict[str, Any]:
    """A draft from a YAML file's bytes. Raises ConfigError for what could not become a run."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError("yaml_broken", line=line, reason="not UTF-8 text") from None
    mapping = load_yaml(text)
    resolve_config(mapping)
    return mapping


def _translate(key: str) -> str | None:
    """The sentence under `key`, where there is one."""
    return t(key) if key in load_catalogue(get_language()) else None
