"""The router: `streamlit run app.py`."""

import streamlit as st

from chain_core.ui.shell import build_navigation

st.set_page_config(page_icon="🔗", layout="wide", initial_sidebar_state=240)
build_navigation().run()
