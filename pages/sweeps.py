"""Sweeps: one draft at many settings: made, followed, compared, and the best of them taken up."""

from chain_core.services.sweeps.results import build_rows, compute_settings
from chain_core.ui import open_page
from chain_core.ui.backend import get_store
from chain_core.ui.draft import get_draft
from chain_core.ui.runs.actions import show_refusal
from chain_core.ui.shell import guard, show_empty
from chain_core.ui.sweeps.figures import show_figures
from chain_core.ui.sweeps.filing import show_deleted
from chain_core.ui.sweeps.list import LISTED, find_chosen, read_chosen, show_choice, show_controls, show_header
from chain_core.ui.sweeps.new import show_new
from chain_core.ui.sweeps.table import show_medians, show_table

open_page("sweeps")
show_refusal()
show_deleted()
groups = guard(lambda: get_store().list_groups(LISTED))
chosen = find_chosen(groups)
if not groups and not get_draft():
    show_empty("sweeps", "data")
show_new(len(groups))
if chosen:
    show_choice(groups, chosen)
    sweep = read_chosen(chosen)
    rows = build_rows(sweep)
    settings = compute_settings(rows)
    show_header(sweep)
    show_controls(sweep)
    show_table(sweep)
    show_medians(sweep, settings)
    show_figures(sweep, rows, settings)
