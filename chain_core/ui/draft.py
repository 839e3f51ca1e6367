"""The draft: the config mapping that the Data page begins, the Chain page edits and Train turns into a run.

It lives in the browser session and is written to `draft.yaml` in the workspace, from which a new session (a
reload, a second tab, a restarted server) starts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from chain_core.config import dump_mapping, load_yaml
from chain_core.errors import ConfigError
from chain_core.paths import get_home

_KEY = "draft"
_PARENT = "draft_parent"
_SAME = "same"


def get_draft() -> dict[str, Any] | None:
    """The draft as a plain mapping, complete or not; None where no data set was chosen yet."""
    if _KEY not in st.session_state:
        st.session_state[_KEY] = _read()
    return st.session_state[_KEY]


def get_parent() -> str | None:
    """The run that the draft is a changed copy of."""
    return st.session_state.get(_PARENT)


def set_draft(mapping: Mapping[str, Any], parent: str | None = _SAME) -> None:
    """Replace the draft, in this session and on disk. `parent`: the run that it is a copy of, None where it is
    something new."""
    if parent != _SAME:
        st.session_state[_PARENT] = parent
    draft = dict(mapping)
    if draft == st.session_state.get(_KEY):
        return
    st.session_state[_KEY] = draft
    path = get_home() / "draft.yaml"
    temporary = path.with_suffix(".tmp")
    temporary.write_text(dump_mapping(draft), encoding="utf-8")
    temporary.replace(path)


def _read() -> dict[str, Any] | None:
    path = get_home() / "draft.yaml"
    try:
        return load_yaml(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ConfigError):
        return None
