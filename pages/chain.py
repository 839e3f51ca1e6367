"""Chain: the draft's backbone, links, heads and training on the left, what they come to on the right."""

import streamlit as st

from chain_core.ui import open_page
from chain_core.ui.chain.data import show_data
from chain_core.ui.chain.draft import ask_for_backbone, inspect, require_draft
from chain_core.ui.chain.heads import show_heads
from chain_core.ui.chain.result import show_drawing, show_plan, show_train, show_yaml
from chain_core.ui.chain.sections import show_backbone, show_links, show_preset
from chain_core.ui.chain.training import show_training

open_page("chain")
require_draft()
answer = ask_for_backbone()
inspection = inspect(answer)

settings, result = st.columns([6, 7], gap="large")
with settings:
    show_preset()
    show_backbone(inspection, answer)
    show_links(inspection)
    show_heads(inspection)
    show_training(inspection)
    show_data(inspection)
with result, st.container(key="chain_result"):
    show_drawing(inspection)
    show_plan(inspection)
    show_train(inspection, waiting=answer is None)
    show_yaml(inspection)
