"""The data sets that the contenders meet on: rows of three fixed splits, and the tasks on them.

ATIS and WNUT17 lie beside the project, in `../shared/data` (or in the folder that CHAIN_BENCHMARK_DATA names); BBC news
comes with a package. Every contender reads the same rows in the same order.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chain_core.paths import PROJECT

SPLITS = ("train", "validation", "test")
Rows = dict[str, list[dict[str, Any]]]
"""Split -> rows."""


class DataAbsent(Exception):
    """A data set that this machine does not have."""


@dataclass(frozen=True)
class DataSpec:
    """One data set."""

    name: str
    title: str
    input: Mapping[str, Any]
    """As the config's `input`."""
    heads: Mapping[str, Mapping[str, Any]]
    """As the config's `heads`."""
    metrics: tuple[str, ...]
    """What tables and figures show, `head/metric`; the first is the main one."""
    read: Callable[[], Rows]


def get_data_folder() -> Path:
    return Path(os.environ.get("CHAIN_BENCHMARK_DATA") or PROJECT.parent / "shared" / "data")


def read_shared(name: str) -> Rows:
    """JSON lines of the shared folder. Raises DataAbsent."""
    folder = get_data_folder() / name
    if not all((folder / f"{split}.jsonl").is_file() for split in SPLITS):
        raise DataAbsent(f"{name}: no {folder}/{{train,validation,test}}.jsonl")
    return {
        split: [json.loads(line) for line in (folder / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()]
        for split in SPLITS
    }


def read_news() -> Rows:
    """BBC news, 70 / 10 / 20 % by topic."""
    from sklearn.model_selection import train_test_split

    from chain_core.data.samples import SAMPLES
    from chain_core.errors import ChainError

    try:
        rows = SAMPLES["bbc-news"].build()
    except ChainError as error:
        raise DataAbsent(f"bbc: {error}") from None

    def cut(part: list[dict[str, Any]], share: float):
        return train_test_split(part, test_size=share, random_state=0, stratify=[row["topic"] for row in part])

    rest, test = cut(rows, 0.2)
    train, validation = cut(rest, 0.125)
    return {"train": train, "validation": validation, "test": test}


def read_six() -> Rows:
    """ATIS with four more things to predict, all of them read off its tags: six heads on one text."""
    return {
        split: [{**row, **derive_columns(row["slots"])} for row in part] for split, part in read_shared("atis").items()
    }


def derive_columns(tags: list[str]) -> dict[str, Any]:
    """Which types occur, how many entities, the last one's type, coarse tags (`B-toloc` for `B-toloc.city_name`)."""
    types = [tag[2:] for tag in tags if tag.startswith("B-")]
    return {
        "types": sorted(set(types)),
        "count": float(len(types)),
        "last": types[-1] if types else "none",
        "coarse": [tag.partition(".")[0] for tag in tags],
    }


_TOKENS = {"tokens": "tokens"}
_INTENT = {"intent": {"kind": "classification", "column": "intent"}}
_SLOTS = {"slots": {"kind": "tagging", "column": "slots"}}
DATA: dict[str, DataSpec] = {
    spec.name: spec
    for spec in (
        DataSpec(
            "atis", "ATIS: intent and slots of flight questions", _TOKENS, {**_SLOTS, **_INTENT},
            ("slots/entity_f1", "intent/accuracy", "joint/exact_match"),
            lambda: read_shared("atis"),
        ),
        DataSpec(
            "wnut17", "WNUT17: emerging named entities", _TOKENS, {"ner": {"kind": "tagging", "column": "ner"}},
            ("ner/entity_f1",), lambda: read_shared("wnut17"),
        ),
        DataSpec(
            "bbc", "BBC news: five topics", {"text": "text", "max_length": 128},
            {"topic": {"kind": "classification", "column": "topic"}}, ("topic/accuracy", "topic/macro_f1"), read_news,
        ),
        DataSpec(
            "atis6", "ATIS with six heads", _TOKENS,
            {
                **_SLOTS, **_INTENT,
                "types": {"kind": "multilabel", "column": "types"},
                "last": {"kind": "classification", "column": "last"},
                "coarse": {"kind": "tagging", "column": "coarse"},
                "count": {"kind": "regression", "column": "count"},
            },
            ("slots/entity_f1", "intent/accuracy", "types/micro_f1", "last/accuracy", "coarse/entity_f1", "count/r2"),
            read_six,
        ),
    )
}  # fmt: skip


def read_rows(name: str, limits: tuple[int, ...] | None = None) -> Rows:
    """A data set's splits, at most `limits` rows of each, in SPLITS' order. Raises DataAbsent."""
    rows = DATA[name].read()
    if limits is None:
        return rows
    return {split: rows[split][:limit] for split, limit in zip(SPLITS, limits, strict=True)}


def write_splits(rows: Rows, folder: Path) -> None:
    """The splits as JSON lines, for contenders that read files."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, part in rows.items():
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in part)
        (folder / f"{split}.jsonl").write_text(lines, encoding="utf-8")
