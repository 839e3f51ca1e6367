"""Home: three doors, the last runs, this machine."""

from chain_core.ui import open_page
from chain_core.ui.backend import get_supervisor
from chain_core.ui.home_doors import show_doors
from chain_core.ui.home_overview import show_last_runs, show_machine
from chain_core.ui.shell import guard

open_page("home")
guard(get_supervisor)
show_doors()
show_last_runs()
show_machine()
