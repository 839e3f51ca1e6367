"""Home: three doors, the last runs, this machine."""

from chain_core.ui import open_page
from chain_core.ui.home.doors import show_doors
from chain_core.ui.home.overview import show_last_runs, show_machine

open_page("home")
show_doors()
show_last_runs()
show_machine()
