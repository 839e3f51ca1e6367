"""Runs: the queue, the chosen run live, what can be done with it."""

from chain_core.ui import open_page
from chain_core.ui.backend import get_store
from chain_core.ui.runs_detail import show_actions, show_error_of, show_header
from chain_core.ui.runs_list import LISTED, choose_run, show_runs
from chain_core.ui.runs_live import show_live
from chain_core.ui.shell import guard, show_empty

open_page("runs")
runs = guard(lambda: get_store().list_runs(LISTED))
if not runs:
    show_empty("runs", "home")
run = choose_run(runs)
show_runs(runs, run)
show_header(run)
show_actions(run)
show_error_of(run)
show_live(run)
