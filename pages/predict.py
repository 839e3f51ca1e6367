"""Predict: new texts in, every head's answer at every depth."""

import streamlit as st

from chain_core.ui import open_page, t
from chain_core.ui.backend import get_store, get_supervisor
from chain_core.ui.predict.answers import show_answers, show_details
from chain_core.ui.predict.input import ask_rows, choose_finished_run, load_run_config
from chain_core.ui.runs.list import LISTED
from chain_core.ui.shell import guard, show_empty

open_page("predict")
runs = guard(lambda: get_store().list_runs(LISTED, ("finished", "stopped")))
runs = [run for run in runs if run.has_report]
if not runs:
    show_empty("predict", "home")
guard(get_supervisor).warm()
run = choose_finished_run(runs)
asked = ask_rows(guard(lambda: load_run_config(run)))
if asked:
    rows, left_out = asked
    with st.spinner(t("predict.waiting")):
        answers = guard(lambda: get_supervisor().predict(run.id, rows))
    st.session_state["predict_answers"] = (run.id, answers, left_out)
answered, answers, left_out = st.session_state.get("predict_answers", ("", [], 0))
if answered == run.id and answers:
    if left_out:
        st.warning(t("predict.left_out", shown=len(answers), rest=left_out))
    show_answers(answers)
    show_details(answers)
