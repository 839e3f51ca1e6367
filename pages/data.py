"""Bring a table, see what its columns hold, decide what to predict."""

from chain_core.ui import open_page
from chain_core.ui.data.profile import show_preview, show_profile
from chain_core.ui.data.source import choose_data_set, show_source
from chain_core.ui.data.splits import choose_splits, show_next
from chain_core.ui.data.tasks import edit_roles, show_tasks

open_page("data")
data_set = choose_data_set()
if data_set is not None:
    show_source(data_set)
    choice = edit_roles(data_set)
    show_tasks(choice)
    splits = choose_splits(data_set, choice)
    show_next(data_set, choice, splits)
    show_profile(data_set, choice)
    show_preview(data_set)
