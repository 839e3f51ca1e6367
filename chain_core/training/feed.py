"""What a run learns from: encoded rows, cached states, labels and splits, ready to be cut into batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa

from chain_core.data.encode import Encoded
from chain_core.data.labels import encode_labels
from chain_core.data.schema import Task
from chain_core.data.text import Texts
from chain_core.modeling.backbones.features import split_by_tokens
from chain_core.modeling.batch import Batch, build_batch
from chain_core.modeling.joined import States
from chain_core.training.hidden import Part

Labels = np.ndarray | tuple[np.ndarray, np.ndarray]
"""What `data.labels.encode_labels` gives for all rows of a task."""
EVALUATION_TOKENS = 8192
MAX_EVALUATION_ROWS = 512


@dataclass(frozen=True)
class Feed:
    """All N rows of a run, ready to be cut into batches."""

    encoded: Encoded
    hidden: Mapping[int, States]
    """Layer -> cached states that batches bring; empty where the model reads token ids."""
    pooled: bool
    gold: Mapping[str, pa.Array]
    """Task -> what `data.labels.read_gold` gives, (N,)."""
    labels: Mapping[str, Labels]
    splits: Mapping[str, np.ndarray]
    texts: Texts | None = None
    """What the rows were read from, for heads that look for spans."""
    parts: Sequence[Part] = ()
    """How the rows' states are kept."""
    untouched: Mapping[int, States] = field(default_factory=dict)
    """Layer -> cached states of the backbone as it came, all that the chain reads: for stages before its tuning."""

    def read_untouched(self) -> Feed:
        """The same rows as the backbone reads them before any tuning."""
        return replace(self, hidden=self.untouched)

    @property
    def draws(self) -> np.random.Generator | None:
        """What it draws from as it builds batches; None where they are always the same."""
        return None

    @property
    def spans(self) -> Mapping[str, np.ndarray]:
        """Relation head -> its rows' spans."""
        return self.texts.spans if self.texts is not None else {}

    @property
    def lengths(self) -> np.ndarray:
        """(N,) int64, positions that each row takes up."""
        return np.ones(self.encoded.rows, np.int64) if self.pooled else self.encoded.lengths

    def build_batch(self, rows: np.ndarray, *, labelled: bool = True) -> Batch:
        """The rows as one padded batch."""
        labels = self.labels if labelled else None
        return build_batch(self.encoded, rows, hidden=self.hidden, pooled=self.pooled, labels=labels, spans=self.spans)

    def draw_batch(self, rows: np.ndarray, own: slice = slice(None)) -> Batch:
        """Those of the rows that `own` tells as one batch to learn from, before `read_batch`; what is drawn is drawn
        for all of them."""
        return self.build_batch(rows[own])

    def read_batch(self, batch: Batch) -> Batch:
        """What `draw_batch` gave, or a part of it, as the model reads it."""
        return batch

    def split_evaluation(self, rows: np.ndarray) -> Iterator[np.ndarray]:
        """The rows in batches of like length, for a pass without gradients."""
        for part in split_by_tokens(self.lengths, rows, EVALUATION_TOKENS):
            for start in range(0, len(part), MAX_EVALUATION_ROWS):
                yield part[start : start + MAX_EVALUATION_ROWS]


def encode_all_labels(gold: Mapping[str, pa.Array], tasks: Sequence[Task]):
    """Task name -> its encoded labels."""
    return {task.name: encode_labels(gold[task.name], task) for task in tasks}


def choose_labelled(feed_labels: Mapping[str, Labels], rows: np.ndarray) -> np.ndarray:
    """Those of the rows that have a label for at least one task."""
    labelled = np.zeros(len(rows), bool)
    for values in feed_labels.values():
        labelled |= find_labelled(values, rows)
    return rows[labelled]


def find_labelled(values: Labels, rows: np.ndarray) -> np.ndarray:
    """Whether each of the rows has a label of one task."""
    if isinstance(values, tuple):
        return np.diff(values[1])[rows] > 0
    if values.ndim == 2 and values.dtype.kind == "i":
        return values[rows, 0] >= 0
    if values.ndim == 2:
        return ~np.isnan(values[rows, 0])
    if values.dtype.kind == "f":
        return ~np.isnan(values[rows])
    return values[rows] >= 0
