"""The store and the supervisor of this server: one each, whoever asks and however often."""

from __future__ import annotations

import streamlit as st

from chain_core.paths import get_home
from chain_core.services.store.store import Store
from chain_core.services.workers.supervisor import Supervisor


def get_store() -> Store:
    """The workspace's store. Raises RunError where it cannot be used."""
    return _open_store(str(get_home()))


def get_supervisor() -> Supervisor:
    """The thread that works through the queue; the first call starts it, and it starts to warm its worker."""
    return _start_supervisor(str(get_home()))


@st.cache_resource(show_spinner=False)
def _open_store(home: str) -> Store:
    return Store()


@st.cache_resource(show_spinner=False)
def _start_supervisor(home: str) -> Supervisor:
    supervisor = Supervisor(_open_store(home))
    supervisor.start()
    return supervisor
