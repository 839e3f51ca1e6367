"""Answers of a trained run for new rows: typed on the screen, read from a file, or from standard input."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from chain_core.config import SELF_SUPERVISED
from chain_core.data.labels import read_gold
from chain_core.data.store import import_files, read_table
from chain_core.data.text import Texts, mark_texts, read_texts
from chain_core.errors import ConfigError, DataError, RunError
from chain_core.reports.metrics import compute_report
from chain_core.reports.predictions import Predictions
from chain_core.services.rows.inputs import build_texts, choose_set, narrow_config, pick_row
from chain_core.services.runs.answers import build_answer_table
from chain_core.training.evaluate import Answers, compute_answers
from chain_core.training.live import Bundle, build_live_feed, open_bundle

CHUNK = 2048
TOP = 10
"""Labels whose probabilities an answer lists."""


@dataclass(frozen=True)
class Predictor:
    """A loaded run."""

    bundle: Bundle

    def predict(self, rows: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
        """One answer a row, in order.

        A row is what `inputs.pick_row` gives; where the run reads tokens, a text is split into words. An answer is
        {"text", "tokens"?, "pair"?, "heads": {head: {depth: {"label" | "labels" | "score" | "tags" | "answer",
        "confidence"?, "probabilities"?}}}}. Raises DataError for a row without the spans that a relation needs.
        """
        for start in range(0, len(rows), CHUNK):
            done = start
            for data, group in groupby(rows[start : start + CHUNK], key=lambda row: row.get("data", "")):
                part = list(group)
                yield from self._answer(part, data, done)
                done += len(part)

    def _answer(self, rows: Sequence[Mapping[str, Any]], data: str, start: int) -> Iterator[dict[str, Any]]:
        """The answers for rows of one data set, of which `start` came before."""
        bundle, config = self.bundle, narrow_config(self.bundle.config, data)
        texts = build_texts(rows, config, start)
        bundle.model.chain.active_heads = bundle.model.chain.answering_heads & set(config.heads or {})
        feed = build_live_feed(bundle, texts, config.input)
        answers = compute_answers(
            bundle.model, feed, np.arange(len(rows)), bundle.device, bundle.dtype, labelled=False, probabilities=True
        )
        for index in range(len(rows)):
            yield self._describe(texts, answers, index)

    def pick(self, record: Any) -> dict[str, Any]:
        """The input of one row, as `inputs.pick_row`; under "data", which of the run's data sets has such columns."""
        config = self.bundle.config
        data = choose_set(config, record.keys()) if isinstance(record, dict) else ""
        row = pick_row(record, narrow_config(config, data))
        return {**row, "data": data} if data else row

    def read_rows(self, path: Path) -> list[dict[str, Any]]:
        """The inputs of all rows of a file."""
        if not os.path.isfile(path):
            raise DataError("file_missing", path=str(path))
        table = read_table(import_files({"train": path}, name=path.stem))
        return [self.pick(record) for record in table.to_pylist()]

    def _describe(self, texts: Texts, answers: Answers, index: int) -> dict[str, Any]:
        first = texts.first[index].as_py()
        answer: dict[str, Any] = (
            {"text": " ".join(first), "tokens": first} if texts.kind == "tokens" else {"text": first}
        )
        if len(texts.spans) == 1:
            (spans,) = texts.spans.values()
            answer["text"] = mark_texts(texts, np.array([index]), spans)[0]
        if texts.second is not None:
            answer["pair"] = texts.second[index].as_py()
        heads: dict[str, dict[str, Any]] = {}
        for task in self.bundle.tasks:
            for key in answers.values:
                if key[0] == task.name:
                    heads.setdefault(task.name, {})[str(key[1])] = _describe_head(task, answers, key, index)
        return {**answer, "heads": heads}


_RESULT = {
    "classification": "label",
    "multilabel": "labels",
    "regression": "score",
    "tagging": "tags",
    "span": "answer",
    "relation": "label",
}


def _describe_head(task: Any, answers: Answers, key: tuple[str, int], index: int) -> dict[str, Any]:
    described: dict[str, Any] = {_RESULT[task.kind]: answers.values[key][index]}
    if task.kind != "regression":
        described["confidence"] = round(float(answers.confidence[key][index]), 6)
    if key in answers.probabilities:
        row = answers.probabilities[key][index]
        top = np.argsort(-row, kind="stable")[:TOP]
        described["probabilities"] = {task.label_space[label]: round(float(row[label]), 6) for label in top}
    return described


def load_predictor(run: Path) -> Predictor:
    """The predictor of a run's folder, or of a bundle's own. Raises RunError where there is none that can answer."""
    bundle = _open(run)
    if not bundle.model.chain.answering_heads:
        raise RunError("nothing_answers", folder=str(run))
    return Predictor(bundle)


def _open(run: Path) -> Bundle:
    folder = run / "model" if os.path.isdir(run / "model") else run
    if not os.path.isfile(folder / "config.yaml"):
        raise RunError("no_bundle", folder=str(run))
    try:
        return open_bundle(folder)
    except ConfigError as error:
        if error.code != "device_missing":
            raise
        # Trained on a device that this machine lacks.
        return open_bundle(folder, "cpu")


def evaluate_file(run: Path, data: Path) -> tuple[dict[str, Any], Predictions]:
    """The report of a run on the labelled rows of a file, under "test", and the predictions behind it.

    Where the run has several data sets, the file's columns say whose heads are asked.
    """
    bundle = load_predictor(run).bundle
    if not os.path.isfile(data):
        raise DataError("file_missing", path=str(data))
    table = read_table(import_files({"train": data}, name=data.stem))
    name = choose_set(bundle.config, table.column_names)
    config = narrow_config(bundle.config, name)
    tasks = tuple(task for task in bundle.tasks if task.data == name and task.kind not in SELF_SUPERVISED)
    texts = read_texts(table, config.input, {task.name: (config.heads or {})[task.name] for task in tasks})
    gold = {task.name: read_gold(table, task) for task in tasks}
    feed = build_live_feed(bundle, texts, config.input, gold)
    bundle.model.chain.active_heads = frozenset(gold)
    answers = compute_answers(bundle.model, feed, feed.splits["test"], bundle.device, bundle.dtype, labelled=False)
    predictions = build_answer_table(answers, (texts,), gold, tasks, "test", bundle.config.name)
    return compute_report({"test": predictions}), predictions
