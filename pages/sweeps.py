"""Sweeps: one draft at many settings: made, followed, compared, and the best of them taken up."""

from chain_core.services.sweeps.results import build_rows, compute_settings
from chain_core.ui import open_page
from chain_core.ui.backend import get_store
from chain_core.ui.draft import get_draft
from chain_core.ui.shell import guard, show_empty
from chain_core.ui.sweeps.figures import show_figures
from chain_core.ui.sweeps.list import LISTED, choose_sweep, read_chosen, show_controls, show_header
from chain_core.ui.sweeps.new import show_new
from chain_core.ui.sweeps.table import show_medians, show_table

open_page("sweeps")
groups = guard(lambda: get_store().list_groups(LISTED))
if not groups and not get_draft():
    show_empty("sweeps", "data")
show_new(len(groups))
if groups:
    sweep = read_chosen(choose_sweep(groups))
    rows = build_rows(sweep)
    settings = compute_settings(rows)
    show_header(sweep)
    show_controls(sweep)
    show_table(sweep)
    show_medians(sweep, settings)
    show_figures(sweep, rows, settings)
