"""Runs: the list, the queue, the chosen run live, what can be done with it."""

import streamlit as st

from chain_core.ui import open_page
from chain_core.ui.backend import get_store
from chain_core.ui.runs.actions import show_actions, show_deleted, show_refusal
from chain_core.ui.runs.detail import show_error_of, show_header
from chain_core.ui.runs.filters import show_filters, show_pages
from chain_core.ui.runs.list import find_chosen, find_compared, show_runs
from chain_core.ui.runs.live import show_live
from chain_core.ui.runs.order import show_order
from chain_core.ui.shell import guard, show_empty

open_page("runs")
show_refusal()
show_deleted()
total = guard(get_store().count_runs)
if not total:
    show_empty("runs", "home")
choice = guard(lambda: show_filters(total))
listed = st.container()
page = show_pages(guard(choice.count))
runs = guard(lambda: choice.find(page))
run = find_chosen(runs)
with listed:
    compared = find_compared(run) if run else []
    show_runs(choice, page, runs, run, compared)
show_order(run)
if run:
    show_header(run)
    show_actions(run)
    show_error_of(run)
    show_live(run, compared)
