"""The two values that describe a table: what a column is, and what a head predicts from it."""

from __future__ import annotations

from dataclasses import dataclass

from chain_core.data.cells import Note

ROLES = ("text", "pair", "tokens", "label", "labels", "score", "tags", "split", "ignore")
KINDS = {"label": "classification", "labels": "multilabel", "score": "regression", "tags": "tagging"}
"""Role of a column -> kind of the head that predicts it."""


SENTENCE_LABELS = ("other", "next")
"""What next-sentence prediction tells apart."""


@dataclass(frozen=True)
class Column:
    """One column: its role of ROLES, and its type: text, number, boolean, list or empty."""

    name: str
    role: str
    type: str
    note: str = ""
    """Code of the sentence (`data.why_<note>`) that says why it has this role; "" where that is plain."""


@dataclass(frozen=True)
class Task:
    """What a head predicts. `label_space` is empty for scores and answers; of tags, "O" comes first."""

    name: str
    kind: str
    column: str
    label_space: tuple[str, ...] = ()
    separator: str | None = None
    notes: tuple[Note, ...] = ()
    searched: str | None = None
    """Span: the column in which answers stand."""
    start: str | None = None
    """Span: the column with an answer's first character."""
    optional: bool = False
    """Span: whether a row may hold no answer."""
    data: str = ""
    """Which of the run's data sets it learns from: an entry of `also`, "" for `data`."""
