"""A predictions file with a head of each kind, several depths, missing gold, and hostile text."""

from __future__ import annotations

import random

from chain_core.reports.predictions import HeadInfo, Predictions, build_predictions

HEADS = {
    "intent": HeadInfo("classification", (0, 3), ("buy", "play", "=1+1", "<b>ask</b>", "播放音乐")),
    "topics": HeadInfo("multilabel", (3,), ("news", "sport", "**bold**")),
    "price": HeadInfo("regression", (0, 3), ()),
    "slots": HeadInfo("tagging", (1, 3), ("O", "B-city", "I-city", "B-人名", "I-人名")),
    "answer": HeadInfo("span", (0, 3)),
    "link": HeadInfo("relation", (3,), ("causes", "part <of>")),
}
TEXTS = (
    "<script>alert('x')</script> play jazz",
    "**bold** _text_ $x$ :red[no] in Berlin",
    "=1+1 is a formula | pipe",
    "w" * 500 + " long",
    "播放 周杰伦 的 歌",
    "a plain sentence about Paris",
    "@SUM(A1) -2 +3 'quoted' \"twice\"",
    "x",
)


def make_predictions(
    rows: int = 60, *, split: str = "test", heads: tuple[str, ...] = tuple(HEADS), seed: int = 0
) -> Predictions:
    """`rows` examples; about one in ten gold cells is missing, about one prediction in five wrong."""
    rng = random.Random(seed)
    tokens = [TEXTS[i % len(TEXTS)].split() for i in range(rows)]
    columns: dict = {"row": range(rows), "text": [" ".join(words) for words in tokens], "tokens": tokens}
    chosen = {head: HEADS[head] for head in heads}
    for head, info in chosen.items():
        gold = [_cell(info, words, rng) for words in tokens]
        given = [[cell] if cell else [] for cell in gold] if info.kind == "span" else gold
        columns[f"gold:{head}"] = [None if rng.random() < 0.1 else cell for cell in given]
        for depth in info.depths:
            columns[f"pred:{head}@{depth}"] = [
                _miss(info, cell, words, rng) for cell, words in zip(gold, tokens, strict=True)
            ]
            if info.kind != "regression":
                columns[f"conf:{head}@{depth}"] = [rng.uniform(0.3, 1) for _ in gold]
    return build_predictions(columns, chosen, split=split, run="smart <home>")


def _cell(info: HeadInfo, words: list[str], rng: random.Random):
    if info.kind == "span":
        return rng.choice([*words, ""])
    if info.kind in ("classification", "relation"):
        return rng.choice(info.label_space)
    if info.kind == "multilabel":
        return [label for label in info.label_space if rng.random() < 0.4]
    if info.kind == "regression":
        return rng.uniform(0, 10)
    return [rng.choice(("O", "O", "B-city", "I-city", "B-人名")) for _ in words]


def _miss(info: HeadInfo, cell, words: list[str], rng: random.Random):
    if info.kind == "regression":
        return cell + rng.gauss(0, 1)
    return _cell(info, words, rng) if rng.random() < 0.2 else cell
