"""Words near to each other in a backbone's own input embeddings, by cosine: what may stand in a word's place."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from chain_core.errors import BackboneError
from chain_core.modeling.backbones.catalogue import BackboneFacts, load_tokenizer

BATCH = 1024
_SPACE_MARKS = ("\u0120", "\u2581")
"""What byte-level and SentencePiece vocabularies put in front of a piece that begins a word."""


def find_neighbours(facts: BackboneFacts, words: Sequence[str], count: int) -> dict[str, tuple[str, ...]]:
    """Word -> its `count` nearest words, the nearest first; only of words that are one piece of the vocabulary.

    Both are whole words of letters; a word's other spellings with capitals are not its neighbours.
    """
    return dict(_find(facts.folder, facts.vocab_size, facts.hidden_size, tuple(words), count))


@lru_cache(maxsize=4)
def _find(folder: Path, vocab_size: int, hidden_size: int, words: tuple[str, ...], count: int):
    names, numbers = _list_whole_words(folder, vocab_size)
    place = {number: index for index, number in enumerate(numbers)}
    tokenizer = load_tokenizer(folder)
    asked: list[tuple[str, int]] = []
    for word in words:
        pieces = tokenizer.encode([word], is_pretokenized=True, add_special_tokens=False).ids
        if len(pieces) == 1 and pieces[0] in place and word.isalpha():
            asked.append((word, place[pieces[0]]))
    if not asked:
        return ()
    table = F.normalize(read_embeddings(folder, vocab_size, hidden_size)[numbers], dim=1)
    found = []
    for start in range(0, len(asked), BATCH):
        part = asked[start : start + BATCH]
        nearest = (table[[index for _, index in part]] @ table.T).topk(min(count + 4, len(names)), 1).indices.tolist()
        for (word, _), row in zip(part, nearest, strict=True):
            others = [names[index] for index in row if names[index].lower() != word.lower()]
            found.append((word, tuple(others[:count])))
    return tuple((word, others) for word, others in found if others)


@lru_cache(maxsize=4)
def _list_whole_words(folder: Path, vocab_size: int) -> tuple[list[str], list[int]]:
    """The pieces of the vocabulary that are words by themselves, and their numbers."""
    tokenizer = load_tokenizer(folder)
    pieces = {number: piece for piece, number in tokenizer.get_vocab().items() if number < vocab_size}
    counts = {mark: sum(piece.startswith(mark) for piece in pieces.values()) for mark in _SPACE_MARKS}
    mark = max(counts, key=lambda key: counts[key])
    names, numbers = [], []
    for number, piece in sorted(pieces.items()):
        word = _read_piece(tokenizer, number, piece, mark if counts[mark] else "")
        if word.isalpha() and (len(word) > 1 or not word.isascii()):
            names.append(word)
            numbers.append(number)
    return names, numbers


def _read_piece(tokenizer: Any, number: int, piece: str, mark: str) -> str:
    """The word that a piece is; "" for one that continues a word."""
    if not mark:
        return "" if piece.startswith("##") else piece
    return tokenizer.decode([number]).strip() if piece.startswith(mark) else ""


def read_embeddings(folder: Path, vocab_size: int, hidden_size: int) -> Tensor:
    """The input embeddings (V, H) in float32, read without the rest of the model."""
    from safetensors import safe_open

    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(str(path), framework="pt") as file:
            for name in file.keys():  # noqa: SIM118 - no mapping
                shape = file.get_slice(name).get_shape()
                if shape == [vocab_size, hidden_size] and not name.startswith(("lm_head", "cls.")):
                    return file.get_tensor(name).to(torch.float32)
    raise BackboneError("backbone_no_weights", folder=str(folder))
