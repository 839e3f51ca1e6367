"""Report: what each head of a run predicts at each depth, in figures and row by row."""

from chain_core.ui import open_page
from chain_core.ui.report.choice import choose_source
from chain_core.ui.report.examples import show_examples
from chain_core.ui.report.heads import show_heads, show_overview

open_page("report")
source = choose_source()
show_overview(source)
show_heads(source)
show_examples(source)
