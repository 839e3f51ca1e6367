"""Where a table comes from: an upload, a path on this machine, a sample, or one that is stored already."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import streamlit as st

from chain_core.data.detect import DELIMITERS
from chain_core.data.encodings import ENCODINGS
from chain_core.data.samples import SAMPLES
from chain_core.data.store import (
    DataSet,
    delete_stored,
    find_split_files,
    list_data_sets,
    load_data_set,
    name_files,
)
from chain_core.errors import ChainError, DataError
from chain_core.ui.data.files import Files, forget_files, get_files, read_files, refuse, take_uploads
from chain_core.ui.data.words import format_notes, name_delimiter, name_encoding, name_format, name_sample
from chain_core.ui.draft import get_draft, set_draft
from chain_core.ui.home.doors import build_sample_draft
from chain_core.ui.language import t
from chain_core.ui.shell import escape_markdown, go_to, guard, show_error

_UPLOADS = "data_uploads"


def choose_data_set() -> DataSet | None:
    """The data set that this page shows: the address names it (`?data=ID`), or the draft; None before any choice."""
    current = _find_current()
    label = t("data.choose") if current is None else t("data.choose_other")
    with st.expander(label, expanded=current is None, icon=":material/folder_open:"):
        upload, server, samples, stored = st.tabs(
            [t("data.tab_upload"), t("data.tab_server"), t("data.tab_samples"), t("data.tab_stored")]
        )
        with upload:
            _show_upload()
        with server:
            _show_server()
        with samples:
            _show_samples()
        with stored:
            _show_stored()
    files = get_files()
    if files is not None and files.error is not None:
        show_error(files.error)
        if files.paths:
            _show_overrules(files)
    return current


def show_source(data_set: DataSet) -> None:
    """What the data set is called, how it was read, and what was mended on the way."""
    st.subheader(escape_markdown(data_set.name), anchor=False)
    facts = [t("data.rows", rows=data_set.rows), t("data.columns", columns=len(data_set.columns))]
    source = next(iter(data_set.sources.values()), None)
    if source is not None:
        facts.append(name_format(source.format))
        facts += [t("data.encoding_is", encoding=name_encoding(source.encoding))] if source.encoding else []
        facts += [t("data.delimiter_is", delimiter=name_delimiter(source.delimiter))] if source.delimiter else []
    line, overrule = st.columns([3, 1], vertical_alignment="center")
    line.markdown(escape_markdown(" · ".join(facts)))
    files = get_files()
    if files is not None and files.data_id == data_set.id and source is not None and source.encoding:
        with overrule.popover(t("data.overrule"), icon=":material/tune:", width="stretch"):
            _show_overrules(files)
    if data_set.notes:
        st.info(format_notes(data_set.notes), icon=":material/info:")


def open_data_set(data_set: DataSet) -> None:
    """Show this data set from now on."""
    st.query_params["data"] = data_set.id
    st.rerun()


def _find_current() -> DataSet | None:
    asked = st.query_params.get("data")
    drafted = ((get_draft() or {}).get("data") or {}).get("train")
    for name in (asked, drafted):
        if not isinstance(name, str):
            continue
        try:
            return load_data_set(name)
        except ChainError as error:
            if name == asked:
                show_error(error)
    return None


def _show_upload() -> None:
    count = st.session_state.setdefault(_UPLOADS, 0)
    uploads = st.file_uploader(
        t("data.upload"), accept_multiple_files=True, key=f"data_upload_{count}", help=t("data.upload_help")
    )
    st.caption(t("data.upload_text"))
    if uploads:
        # The copy is on disk: under a new key the widget forgets the bytes that it holds in memory.
        st.session_state[_UPLOADS] = count + 1
        with st.spinner(t("data.reading")):
            data_set = take_uploads(uploads)
        _go_on(data_set)


def _show_server() -> None:
    with st.form("data_server", border=False):
        path = st.text_input(t("data.path"), key="data_path", placeholder=t("data.path_example"))
        asked = st.form_submit_button(t("data.path_read"), icon=":material/input:")
    st.caption(t("data.path_text"))
    if asked:
        if not path.strip():
            st.warning(t("data.path_missing"), icon=":material/edit:")
            return
        with st.spinner(t("data.reading")):
            _go_on(_read_path(path.strip()))


def _read_path(path: str) -> DataSet | None:
    try:
        files = find_split_files(Path(path).expanduser().resolve())
    except ChainError as error:
        return refuse(error)
    except (OSError, ValueError, RuntimeError):
        return refuse(DataError("file_missing", path=path))
    return read_files(Files(files, name_files(files)))


def _show_samples() -> None:
    columns = st.columns(2)
    for position, (name, sample) in enumerate(SAMPLES.items()):
        with columns[position % 2].container(border=True):
            st.markdown(f"**{name_sample(name)}**")
            st.caption(t("data.sample_facts", rows=sample.rows, heads=", ".join(sample.heads)))
            if st.button(t("data.sample_use"), key=f"sample_{name}", help=t(f"home.sample_{name}_text")):
                with st.spinner(t("data.sample_loading")):
                    set_draft(guard(partial(build_sample_draft, name)), parent=None)
                go_to("chain")


def _show_stored() -> None:
    stored = {data_set.id: data_set for data_set in list_data_sets()}
    if not stored:
        st.caption(t("data.stored_none"))
        return
    chosen = st.selectbox(
        t("data.stored"),
        list(stored),
        format_func=lambda identity: _name_stored(stored[identity]) if identity in stored else identity,
        key="data_stored",
    )
    left, right, _ = st.columns([1, 1, 2])
    if left.button(t("data.stored_open"), key="data_stored_open", width="stretch", type="primary"):
        forget_files()
        open_data_set(stored[chosen])
    with right.popover(t("data.stored_delete"), icon=":material/delete:", width="stretch"):
        st.markdown(t("data.stored_delete_text", name=escape_markdown(stored[chosen].name)))
        if st.button(t("data.stored_delete_yes"), key="data_stored_delete"):
            delete_stored(chosen)
            if st.query_params.get("data") == chosen:
                del st.query_params["data"]
            st.rerun()


def _show_overrules(files: Files) -> None:
    """Encoding and delimiter by hand; a change reads the files again."""
    found = {"": t("data.found")}
    encodings = found | {encoding: name_encoding(encoding) for encoding in ENCODINGS}
    delimiters = found | {delimiter: name_delimiter(delimiter) for delimiter in DELIMITERS}
    left, right = st.columns(2)
    encoding = left.selectbox(
        t("data.encoding"),
        list(encodings),
        index=list(encodings).index(files.encoding or "") if files.encoding in encodings else 0,
        format_func=lambda value: encodings.get(value, value),
        key="data_encoding",
    )
    delimiter = right.selectbox(
        t("data.delimiter"),
        list(delimiters),
        index=list(delimiters).index(files.delimiter or "") if files.delimiter in delimiters else 0,
        format_func=lambda value: delimiters.get(value, value),
        key="data_delimiter",
    )
    chosen = (encoding or None, delimiter or None)
    if chosen != (files.encoding, files.delimiter):
        with st.spinner(t("data.reading")):
            _go_on(read_files(replace(files, encoding=chosen[0], delimiter=chosen[1])))


def _go_on(data_set: DataSet | None) -> None:
    """Show what was read; where nothing was, the next run shows why."""
    if data_set is not None:
        open_data_set(data_set)
    st.rerun()


def _name_stored(data_set: DataSet) -> str:
    return f"{data_set.name} · {data_set.rows:,}"
