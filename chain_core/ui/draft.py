"""The draft: the config mapping that the Data page begins, the Chain page edits and Train turns into a run.

It lives in the browser session and is written to `draft.yaml` in the workspace, from which a new session (a
reload, a second tab, a restarted server) starts. The run that it is a changed copy of stands there in a comment: it is
no part of the config.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import streamlit as st

from chain_core.config import dump_mapping, load_yaml
from chain_core.errors import ConfigError
from chain_core.paths import get_home

_KEY = "draft"
_PARENT = "draft_parent"
_SAME = "same"
_COPY = re.compile(r"# copy of (\S+)\n")


def get_draft() -> dict[str, Any] | None:
    """The draft as a plain mapping, complete or not; None where no data set was chosen yet."""
    _load()
    return st.session_state[_KEY]


def get_parent() -> str | None:
    """The run that the draft is a changed copy of."""
    _load()
    return st.session_state[_PARENT]


def set_draft(mapping: Mapping[str, Any], parent: str | None = _SAME) -> None:
    """Replace the draft, in this session and on disk. `parent`: the run that it is a copy of, None where it is
    something new."""
    _load()
    draft = dict(mapping)
    parent = st.session_state[_PARENT] if parent == _SAME else parent
    if (draft, parent) == (st.session_state[_KEY], st.session_state[_PARENT]):
        return
    st.session_state[_KEY], st.session_state[_PARENT] = draft, parent
    path = get_home() / "draft.yaml"
    temporary = path.with_suffix(".tmp")
    comment = f"# copy of {parent}\n" if parent else ""
    temporary.write_text(comment + dump_mapping(draft), encoding="utf-8")
    temporary.replace(path)


def _load() -> None:
    """Draft and parent as the workspace has them, where this session has none yet."""
    if _KEY in st.session_state:
        return
    st.session_state[_KEY] = st.session_state[_PARENT] = None
    try:
        text = (get_home() / "draft.yaml").read_text(encoding="utf-8")
        st.session_state[_KEY] = load_yaml(text)
    except (OSError, UnicodeDecodeError, ConfigError):
        return
    copied = _COPY.match(text)
    st.session_state[_PARENT] = copied[1] if copied else None
