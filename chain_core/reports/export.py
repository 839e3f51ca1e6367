"""Predictions and reports as files to take away.

CSV whose cells no spreadsheet takes for a formula, Parquet that `load_predictions` reads again, and one HTML page
(`page.py`) that needs nothing else.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from typing import Any, TextIO

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from chain_core.reports.predictions import Predictions

FORMULA_STARTS = tuple("=+-@\t\r\n＝＋－＠")
"""What makes a spreadsheet read a cell as a formula; the wide ones do so in Chinese and Japanese editions."""


def make_safe(text: str) -> str:
    """The text, with an apostrophe before it where a spreadsheet would take it for a formula."""
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text


def export_csv(predictions: Predictions, examples: pd.DataFrame) -> bytes:
    """Rows of `compute_examples` as UTF-8 with a mark, so that spreadsheets read Chinese too.

    Several labels or right answers in a cell are joined by `|`, words and tags by spaces; an absent cell is empty.
    """
    columns = {}
    for name in map(str, examples):
        what, _, key = name.partition(":")
        head = predictions.heads.get(key.partition("@")[0])
        if head and head.kind == "regression" and what in ("conf", "wrong", "disagree"):
            continue  # a number has no confidence and is never exactly right
        write = _write_share if what == "conf" else _write_cell
        joint = "|" if head and head.kind in ("multilabel", "span") else " "
        columns[make_safe(name)] = [write(cell, joint) for cell in examples[name]]
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\r\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return stream.getvalue().encode("utf-8-sig", "replace")


def export_parquet(predictions: Predictions, examples: pd.DataFrame) -> bytes:
    """The same rows with their own types, and the columns `wrong:` and `disagree:`."""
    table = predictions.table.take(pa.array(examples.index.to_numpy(np.int64)))
    for name in examples:
        if str(name).partition(":")[0] in ("wrong", "disagree", "residual"):
            table = table.append_column(str(name), pa.array(examples[name].to_numpy()))
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue()


def write_answers_csv(answers: Iterable[Mapping[str, Any]], stream: TextIO) -> None:
    """A predictor's answers, a row each: the text, then for every head@depth its answer and its confidence."""
    rows = [_flatten(answer) for answer in answers]
    names = list(dict.fromkeys(name for row in rows for name in row)) or ["text"]
    writer = csv.DictWriter(stream, names, restval="", lineterminator="\n")
    writer.writerow({name: make_safe(name) for name in names})
    writer.writerows(rows)


def _flatten(answer: Mapping[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = {
        name: _write_cell(answer[name]) for name in ("text", "pair", "tokens") if answer.get(name) is not None
    }
    for head, depths in answer["heads"].items():
        for depth, said in depths.items():
            for name in ("label", "labels", "score", "tags", "answer"):
                if name in said:
                    row[f"{head}@{depth}"] = _write_cell(said[name], "|" if name == "labels" else " ")
            if said.get("confidence") is not None:
                row[f"conf:{head}@{depth}"] = _write_share(said["confidence"])
    return row


def _write_share(share: float, _: str = "") -> str:
    return "" if share != share else f"{share:.4f}"


def _write_cell(cell: Any, joint: str = " ") -> Any:
    """A number stays one; text, and lists as text, are made safe."""
    if cell is None or (isinstance(cell, float) and cell != cell):
        return ""
    if isinstance(cell, bool | np.bool_):
        return "true" if cell else "false"
    if isinstance(cell, int | np.integer):
        return int(cell)
    if isinstance(cell, float | np.floating):
        return f"{float(cell):.6g}"
    return make_safe(cell if isinstance(cell, str) else joint.join(map(str, cell)))
