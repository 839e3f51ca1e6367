"""A split's saved predictions: one Parquet file, a row an example, from which every report is computed.

Columns: `row` int64, `text` string, optionally `pair` string and `tokens` list<string>; for each head h its
gold `gold:h` (null where a row has none); for each of its depths d `pred:h@d` and, but for regression, the
confidence `conf:h@d` in [0, 1]. The schema's metadata names the heads, so that a file explains itself.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from chain_core.errors import RunError

METADATA_KEY = b"chain"
TYPES: Mapping[str, pa.DataType] = {
    "classification": pa.string(),
    "multilabel": pa.list_(pa.string()),
    "regression": pa.float32(),
    "tagging": pa.list_(pa.string()),
    "span": pa.string(),
    "relation": pa.string(),
}
"""Of predicted cells, by the head's kind."""
GOLD_TYPES: Mapping[str, pa.DataType] = {**TYPES, "span": pa.list_(pa.string())}
"""Of gold cells: an answer may have several right texts, or none."""


@dataclass(frozen=True)
class HeadInfo:
    """What a report must know of one head. `depths` ascend; `label_space` is empty for scores and answers.

    `data`: which of the run's data sets it learns from; "" for the first.
    """

    kind: str
    depths: tuple[int, ...]
    label_space: tuple[str, ...] = ()
    data: str = ""


@dataclass(frozen=True)
class Predictions:
    """One split's rows with what every head said of them at every depth."""

    table: pa.Table
    heads: Mapping[str, HeadInfo]
    split: str = "test"
    run: str = ""

    @property
    def rows(self) -> int:
        return self.table.num_rows

    @property
    def keys(self) -> tuple[tuple[str, int], ...]:
        """Every (head, depth), in the order of the heads."""
        return tuple((head, depth) for head, info in self.heads.items() for depth in info.depths)

    def get_gold(self, head: str) -> list[Any]:
        """A label, list of labels, number, list of tags or list of right answers a row; None where it has none."""
        return self.table.column(f"gold:{head}").to_pylist()

    def get_predicted(self, head: str, depth: int) -> list[Any]:
        """As `get_gold`, but one answer, "" for none; None only for a relation of a row without spans."""
        return self.table.column(f"pred:{head}@{depth}").to_pylist()

    def get_confidence(self, head: str, depth: int) -> list[float] | None:
        """In [0, 1], one a row; None for a head that has none (regression)."""
        name = f"conf:{head}@{depth}"
        return self.table.column(name).to_pylist() if name in self.table.column_names else None


def build_predictions(
    columns: Mapping[str, Sequence[Any] | pa.Array],
    heads: Mapping[str, HeadInfo],
    *,
    split: str,
    run: str = "",
) -> Predictions:
    """Predictions from columns under the names above, each cast to the type that its head's kind asks for."""
    types = {"row": pa.int64(), "text": pa.string(), "pair": pa.string(), "tokens": pa.list_(pa.string())}
    arrays = {name: pa.array(columns[name], types[name]) for name in types if name in columns}
    for head, info in heads.items():
        arrays[f"gold:{head}"] = pa.array(columns[f"gold:{head}"], GOLD_TYPES[info.kind])
        for depth in info.depths:
            key = f"{head}@{depth}"
            arrays[f"pred:{key}"] = pa.array(columns[f"pred:{key}"], TYPES[info.kind])
            if f"conf:{key}" in columns:
                arrays[f"conf:{key}"] = pa.array(columns[f"conf:{key}"], pa.float32())
    table = pa.table(arrays).replace_schema_metadata(build_schema_metadata(heads, split=split, run=run))
    return Predictions(table, dict(heads), split, run)


def build_schema_metadata(heads: Mapping[str, HeadInfo], *, split: str, run: str = "") -> dict[bytes, bytes]:
    """The Parquet schema's metadata that `load_predictions` reads."""
    meta = {"heads": {head: asdict(info) for head, info in heads.items()}, "split": split, "run": run}
    return {METADATA_KEY: json.dumps(meta, ensure_ascii=False).encode()}


def save_predictions(predictions: Predictions, path: Path) -> None:
    """Write the file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    pq.write_table(predictions.table, temporary, compression="zstd")
    temporary.replace(path)


def load_predictions(path: Path) -> Predictions:
    """One split's predictions. Raises RunError where the file is missing, damaged or names no heads."""
    try:
        table = pq.read_table(path)
        meta = json.loads((table.schema.metadata or {})[METADATA_KEY])
        heads = {
            str(head): HeadInfo(
                info["kind"],
                tuple(sorted(int(depth) for depth in info["depths"])),
                tuple(info.get("label_space", ())),
                str(info.get("data", "")),
            )
            for head, info in meta["heads"].items()
        }
        _check_columns(table, heads)
    except FileNotFoundError:
        raise RunError("predictions_missing", file=path.name) from None
    except (OSError, pa.ArrowException, KeyError, ValueError, TypeError, AttributeError):
        raise RunError("predictions_damaged", file=path.name) from None
    return Predictions(table, heads, str(meta.get("split", path.stem)), str(meta.get("run", "")))


def _check_columns(table: pa.Table, heads: Mapping[str, HeadInfo]) -> None:
    names = {"text"}
    for head, info in heads.items():
        if info.kind not in TYPES or not info.depths:
            raise ValueError(head)
        names |= {f"gold:{head}", *(f"pred:{head}@{depth}" for depth in info.depths)}
    missing = names - set(table.column_names)
    if missing:
        raise KeyError(sorted(missing)[0])
