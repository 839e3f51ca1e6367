"""Cache: what was computed once and kept, how large it is, and how to get rid of it."""

from chain_core.services.cache import list_items
from chain_core.ui import open_page
from chain_core.ui.cache.items import show_cleared, show_groups, show_items
from chain_core.ui.cache.size import show_limit, show_size
from chain_core.ui.shell import guard, show_empty

open_page("cache")
items = guard(list_items)
show_cleared()
show_size(items)
show_limit(items)
if not items:
    show_empty("cache", "home")
show_groups(items)
show_items(items)
