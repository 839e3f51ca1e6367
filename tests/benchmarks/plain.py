"""What the peers learn with: an `AutoModel` and one plain linear head a task, as a careful user writes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, pstdev
from typing import Any

import torch
from torch import Tensor, nn

IGNORED = -100
"""The label that cross-entropy skips."""


@dataclass(frozen=True)
class PlainTask:
    """One thing to predict."""

    name: str
    kind: str
    """classification, tagging, multilabel or regression."""
    column: str
    labels: tuple[str, ...] = ()
    mean: float = 0.0
    spread: float = 1.0
    """Of a regression's train rows: it learns (number - mean) / spread."""

    @property
    def outputs(self) -> int:
        return 1 if self.kind == "regression" else len(self.labels)


def build_tasks(heads: Mapping[str, Mapping[str, Any]], rows: Sequence[Mapping[str, Any]]) -> list[PlainTask]:
    """Label spaces, and the scales of numbers, from the train rows."""
    return [_build_task(name, head["kind"], head["column"], rows) for name, head in heads.items()]


def _build_task(name: str, kind: str, column: str, rows: Sequence[Mapping[str, Any]]) -> PlainTask:
    cells = [row[column] for row in rows]
    if kind == "regression":
        return PlainTask(name, kind, column, mean=fmean(cells), spread=pstdev(cells) or 1.0)
    labels = set(cells) if kind == "classification" else {label for cell in cells for label in cell}
    return PlainTask(name, kind, column, tuple(sorted(labels)))


def _lose_labels(logits: Tensor, labels: Tensor) -> Tensor:
    return nn.functional.cross_entropy(logits.flatten(0, -2), labels.flatten(), ignore_index=IGNORED)


def _lose_numbers(logits: Tensor, labels: Tensor) -> Tensor:
    return nn.functional.mse_loss(logits[:, 0], labels)


LOSSES = {
    "classification": _lose_labels,
    "tagging": _lose_labels,
    "multilabel": nn.functional.binary_cross_entropy_with_logits,
    "regression": _lose_numbers,
}


class PlainModel(nn.Module):
    """Tagging reads each word's first piece, every other kind the mean of the last layer's positions."""

    def __init__(self, backbone: nn.Module, hidden_size: int, tasks: Sequence[PlainTask], dropout: float = 0.1) -> None:
        super().__init__()
        self.backbone = backbone
        self.dropout = nn.Dropout(dropout)
        self.kinds = {task.name: task.kind for task in tasks}
        self.heads = nn.ModuleDict({task.name: nn.Linear(hidden_size, task.outputs) for task in tasks})

    def forward(self, input_ids: Tensor, attention_mask: Tensor, labels: dict[str, Tensor] | None = None):
        """Logits (B, K) or (B, T, K) of each task, and the sum of their losses where labels are given."""
        hidden = self.backbone(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state  # (B, T, H)
        pooled = pool(hidden, attention_mask)
        logits = {
            name: head(self.dropout(hidden if self.kinds[name] == "tagging" else pooled))
            for name, head in self.heads.items()
        }
        if labels is None:
            return {"logits": logits}
        losses = [LOSSES[self.kinds[name]](values.float(), labels[name]) for name, values in logits.items()]
        return {"loss": torch.stack(losses).sum(), "logits": logits}


def pool(hidden: Tensor, mask: Tensor) -> Tensor:
    """(B, T, H), (B, T) -> (B, H), the mean over what the mask keeps."""
    weights = mask.to(hidden.dtype)[:, :, None]
    return (hidden * weights).sum(1) / weights.sum(1).clamp(min=1)


def load_auto_model(folder: Any, *, attention: str | None = None) -> nn.Module:
    """The backbone in float32, without the pooling layer that nothing here reads."""
    from transformers import AutoModel
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    options: dict[str, Any] = {"dtype": torch.float32}
    if attention:
        options["attn_implementation"] = attention
    try:
        return AutoModel.from_pretrained(str(folder), add_pooling_layer=False, **options)
    except TypeError:
        return AutoModel.from_pretrained(str(folder), **options)


class Examples:
    """Tokenised rows, as a `torch.utils.data.Dataset` is: `[i]` gives one row's ids and labels as lists."""

    def __init__(self, rows: Sequence[Mapping[str, Any]], columns: Mapping[str, Any], tokenizer: Any,
                 tasks: Sequence[PlainTask], max_length: int) -> None:  # fmt: skip
        column = columns.get("tokens") or columns["text"]
        encoded = tokenizer(
            [row[column] for row in rows],
            is_split_into_words="tokens" in columns,
            truncation=True,
            max_length=max_length,
        )
        self.ids: list[list[int]] = encoded["input_ids"]
        self.words = [encoded.word_ids(number) for number in range(len(rows))] if "tokens" in columns else None
        """Of each row's pieces, the number of the word; None for special ones."""
        self.counts = [len(row[column]) for row in rows]
        self.labels = {task.name: self._number(task, rows) for task in tasks}
        self.tasks = list(tasks)

    def _number(self, task: PlainTask, rows: Sequence[Mapping[str, Any]]) -> list[Any]:
        numbers = {label: number for number, label in enumerate(task.labels)}
        cells = [row[task.column] for row in rows]
        if task.kind == "classification":
            return [numbers.get(cell, IGNORED) for cell in cells]
        if task.kind == "multilabel":
            return [[float(label in cell) for label in task.labels] for cell in cells]
        if task.kind == "regression":
            return [(cell - task.mean) / task.spread for cell in cells]
        assert self.words is not None
        return [
            [
                numbers.get(cell[word], IGNORED) if is_first(words, place) else IGNORED
                for place, word in enumerate(words)
            ]
            for words, cell in zip(self.words, cells, strict=True)
        ]

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"input_ids": self.ids[index], **{name: values[index] for name, values in self.labels.items()}}

    def collate(self, examples: Sequence[dict[str, Any]], length: int | None = None) -> dict[str, Any]:
        """One batch, padded to its longest row, or to `length`."""
        width = length or max(len(example["input_ids"]) for example in examples)

        def pad(lists: list[list[int]], value: int) -> Tensor:
            return torch.tensor([[*items, *[value] * (width - len(items))] for items in lists])

        ids = [example["input_ids"] for example in examples]
        labels = {
            task.name: pad([example[task.name] for example in examples], IGNORED)
            if task.kind == "tagging"
            else torch.tensor([example[task.name] for example in examples])
            for task in self.tasks
        }
        mask = pad([[1] * len(row) for row in ids], 0)
        return {"input_ids": pad(ids, 0), "attention_mask": mask, "labels": labels}


def is_first(words: Sequence[int | None], place: int) -> bool:
    """Whether a piece is the first of its word."""
    return words[place] is not None and (place == 0 or words[place - 1] != words[place])


@torch.inference_mode()
def predict(model: PlainModel, examples: Examples, batch_size: int, cast: Any, device: Any) -> dict[str, list[Any]]:
    """Answers of all rows, in batches of like length. Words without a piece are O; a label needs half a chance."""
    model.eval()
    order = sorted(range(len(examples)), key=lambda row: -len(examples.ids[row]))
    answers: dict[str, list[Any]] = {task.name: [None] * len(examples) for task in examples.tasks}
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        batch = examples.collate([examples[row] for row in rows])
        with cast():
            logits = model(batch["input_ids"].to(device), batch["attention_mask"].to(device))["logits"]
        for task in examples.tasks:
            for row, numbers in zip(rows, _choose(task, logits[task.name]).tolist(), strict=True):
                answers[task.name][row] = _name(task, numbers, examples, row)
    return answers


def _choose(task: PlainTask, logits: Tensor) -> Tensor:
    """What a batch's logits say: a number in the rows' unit, which labels, or the best label's place."""
    if task.kind == "regression":
        return logits[:, 0].float() * task.spread + task.mean
    return logits > 0 if task.kind == "multilabel" else logits.argmax(-1)


def _name(task: PlainTask, numbers: Any, examples: Examples, row: int) -> Any:
    if task.kind == "regression":
        return numbers
    if task.kind == "multilabel":
        return [label for label, said in zip(task.labels, numbers, strict=True) if said]
    if task.kind == "classification":
        return task.labels[numbers]
    assert examples.words is not None
    tags = ["O"] * examples.counts[row]
    for place, word in enumerate(examples.words[row]):
        if is_first(examples.words[row], place):
            tags[word] = task.labels[numbers[place]]
    return tags
