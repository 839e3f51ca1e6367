"""What to predict: a run, and texts that are typed, pasted or read from a file."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from chain_core.config import Config, InputConfig, load_yaml, restore_config
from chain_core.data.readers import detect_source, read_batches
from chain_core.data.relations import list_span_columns
from chain_core.data.words import split_words
from chain_core.errors import DataError
from chain_core.services.store.records import Run
from chain_core.ui.language import t
from chain_core.ui.runs.copy import read_config
from chain_core.ui.runs.list import choose_run
from chain_core.ui.runs.text import format_time
from chain_core.ui.shell import escape_markdown, guard

MOST_ROWS = 1000
"""On the screen; the command line has no such limit."""
Row = dict[str, Any]


def choose_finished_run(runs: Sequence[Run]) -> Run:
    """The run that shall answer: the one in the address, until another is picked."""
    named = {run.id: f"{run.name} · {format_time(run.created)}" for run in runs}
    chosen = choose_run(runs, missing="run_not_ready")
    ids = [run.id for run in runs]
    picked = st.selectbox(
        t("predict.run"), ids, index=ids.index(chosen.id), format_func=named.__getitem__, key=f"predict_{chosen.id}"
    )
    if picked and picked != chosen.id:
        st.query_params["run"] = picked
        st.rerun()
    return chosen


def load_run_config(run: Run) -> Config:
    """The run's config with everything that was inferred."""
    return restore_config(load_yaml(read_config(run)))


def ask_rows(config: Config) -> tuple[list[Row], int] | None:
    """The rows to predict and how many were left out; None until the button is clicked."""
    columns = config.input
    typed, uploaded = st.tabs([t("predict.type"), t("predict.upload")])
    with typed, st.form("predict_form", border=False):
        first = st.text_area(
            t("predict.texts"), height=140, key="predict_texts", placeholder=t("predict.texts_placeholder")
        )
        second = None
        if has_relations(config):
            st.caption(t("predict.marks_hint"))
        if columns.pair:
            second = st.text_area(t("predict.pairs"), height=140, key="predict_pairs")
        if st.form_submit_button(t("predict.action"), type="primary", icon=":material/chat:"):
            rows = guard(lambda: build_rows(first, second, columns))
            return rows[:MOST_ROWS], max(0, len(rows) - MOST_ROWS)
    with uploaded:
        file = st.file_uploader(t("predict.file"), key="predict_file", help=_describe_columns(columns))
        clicked = st.button(
            t("predict.action"), type="primary", icon=":material/chat:", key="predict_go", disabled=file is None
        )
        if file is not None and clicked:
            content, name = file.getvalue(), file.name
            return guard(lambda: read_rows(content, name, columns, list_span_columns(config.heads or {})))
    return None


def has_relations(config: Config) -> bool:
    """Whether each row needs two marked spans."""
    return any(head.kind == "relation" for head in (config.heads or {}).values())


def build_rows(first: str, second: str | None, columns: InputConfig) -> list[Row]:
    """One row a line that is not blank. Raises DataError for no line, or pairs that do not match."""
    if second is not None:
        firsts, seconds = first.splitlines(), second.splitlines()
        pairs = [
            pair
            for pair in zip(_fill(firsts, len(seconds)), _fill(seconds, len(firsts)), strict=True)
            if any(part.strip() for part in pair)
        ]
        if any(not part.strip() for pair in pairs for part in pair):
            count = [sum(bool(line.strip()) for line in lines) for lines in (firsts, seconds)]
            raise DataError("predict_pairs_differ", first=count[0], second=count[1])
        rows = [{"text": one.strip(), "pair": other.strip()} for one, other in pairs]
    else:
        rows = [build_row(line, columns) for line in first.splitlines() if line.strip()]
    if not rows:
        raise DataError("predict_no_text")
    return rows


def build_row(line: str, columns: InputConfig) -> Row:
    """One line as the run reads it: as tokens where it was trained on tokens."""
    marked = "<e1>" in line  # the predictor splits such a line: its spans are counted in words
    return {"tokens": split_words(line)} if columns.tokens and not marked else {"text": line.strip()}


def read_rows(content: bytes, name: str, columns: InputConfig, spans: Sequence[str] = ()) -> tuple[list[Row], int]:
    """The first rows of an uploaded file and how many more it has. Raises DataError where it has no such column.

    Plain text is read line by line. `spans`: columns that are taken along where the file has them.
    """
    if Path(name).suffix.lower() == ".txt":
        text = content.decode("utf-8-sig", "replace")
        rows = build_rows(text, None, columns)
        return rows[:MOST_ROWS], max(0, len(rows) - MOST_ROWS)
    kept: list[Row] = []
    total = 0
    with tempfile.TemporaryDirectory() as folder:
        # Only the suffix is the user's: a name could be a path.
        suffix = re.sub(r"[^.a-z0-9]", "", Path(name).suffix.lower())
        path = Path(folder) / f"upload{suffix}"
        path.write_bytes(content)
        for batch in read_batches(path, detect_source(path, name=name)):
            total += batch.num_rows
            if len(kept) < MOST_ROWS:
                part = batch.slice(0, MOST_ROWS - len(kept))
                wanted = _find_columns(part.schema.names, columns)
                along = [column for column in spans if column in part.schema.names]
                for record in part.to_pylist():
                    row = _convert({role: record[column] for role, column in wanted.items()}, columns)
                    kept.append({**row, "spans": {column: record[column] for column in along}} if along else row)
    if not kept:
        raise DataError("predict_no_text")
    return kept, total - len(kept)


def _find_columns(names: Sequence[str], columns: InputConfig) -> dict[str, str]:
    """Role -> column of a file: by the run's names, by the role's own name, or the only column there is."""
    roles = ("tokens",) if columns.tokens else ("text", "pair") if columns.pair else ("text",)
    found: dict[str, str] = {}
    for role in roles:
        wanted = getattr(columns, role) or role
        options = [wanted, role, "text"] if role == "tokens" else [wanted, role]
        match = next((name for name in options if name in names), None)
        if match is None and len(roles) == len(names) == 1:
            match = names[0]
        if match is None:
            raise DataError("predict_no_column", column=wanted, found=", ".join(names[:10]))
        found[role] = match
    return found


def _convert(cells: dict[str, Any], columns: InputConfig) -> Row:
    if columns.tokens:
        value = cells["tokens"]
        if isinstance(value, list):
            return {"tokens": [str(token) for token in value]}
        return build_row(str(value or ""), columns)
    return {role: "" if value is None else str(value) for role, value in cells.items()}


def _fill(lines: list[str], length: int) -> list[str]:
    return lines + [""] * (length - len(lines))


def _describe_columns(columns: InputConfig) -> str:
    names = [name for name in (columns.tokens, columns.text, columns.pair) if name]
    return t("predict.file_help", columns=escape_markdown(", ".join(names)))
