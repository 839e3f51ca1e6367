"""Texts -> token ids, flat, with offsets: no padding, no Python object a row.

Row n's tokens are `input_ids[offsets[n]:offsets[n + 1]]`; its words' first pieces, as positions inside the row, are
`word_starts[word_offsets[n]:word_offsets[n + 1]]`, -1 where the word was cut off or has no piece.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from chain_core.data.places import find_places, find_segments
from chain_core.data.text import Texts

CHUNK = 8192
SHAPES = ("", "lower", "upper", "title", "mixed", "digits", "digits-mixed", "other")
AFFIX_LENGTHS = (1, 2, 3, 4)
LEXICAL_BUCKETS = 8192
LEXICAL_FEATURES = 2 + 2 * len(AFFIX_LENGTHS)
"""Per piece: shape and place, the whole word, and its prefixes and suffixes."""


FLAT = {
    "input_ids": np.int32, "token_type_ids": np.int8, "word_starts": np.int32, "lexical": np.int32, "segments": np.int8,
    "begins": np.int32, "ends": np.int32,
}  # fmt: skip
"""Fields of Encoded whose chunks are joined -> their dtype."""
COUNTED = ("offsets", "word_offsets")
"""Fields of Encoded that are sums over their chunks' counts, one a row."""


@dataclass(frozen=True)
class Encoded:
    """All rows of a data set as token ids. N rows, S tokens in all, W words in all, U distinct words."""

    input_ids: np.ndarray
    """(S,) int32"""
    token_type_ids: np.ndarray
    """(S,) int8: 0 for the first text, 1 for the pair's second."""
    offsets: np.ndarray
    """(N + 1,) int64"""
    word_starts: np.ndarray
    """(W,) int32"""
    word_offsets: np.ndarray
    """(N + 1,) int64"""
    lexical: np.ndarray
    """(S,) int32: row of `lexical_table` that describes each piece's word; 0 for special tokens; empty if unused."""
    lexical_table: np.ndarray
    """(2U + 1, LEXICAL_FEATURES) int32 in [0, LEXICAL_BUCKETS); odd rows: first pieces, even rows: later ones."""
    truncated: int
    """Rows that were longer than the longest input."""
    key: str = ""
    """What `compute_key` gives, where it is known already."""
    segments: np.ndarray = field(default_factory=lambda: np.empty(0, np.int8))
    """(S,) int8: 0 for the first text, 1 for the second, -1 for special tokens; empty without a second text."""
    begins: np.ndarray = field(default_factory=lambda: np.empty(0, np.int32))
    """(S,) int32: the first character of its text that a piece covers, where a row is given as tokens its word; -1 for
    special tokens; empty where nothing looks for spans."""
    ends: np.ndarray = field(default_factory=lambda: np.empty(0, np.int32))
    """(S,) int32: one after the last character or word that a piece covers."""

    @property
    def rows(self) -> int:
        return len(self.offsets) - 1

    @cached_property
    def lengths(self) -> np.ndarray:
        """(N,) int64, in tokens."""
        return np.diff(self.offsets)

    def compute_key(self) -> str:
        """A hash of everything that a backbone reads."""
        if self.key:
            return self.key
        return hash_inputs(self.input_ids, self.token_type_ids, self.offsets)


def hash_inputs(input_ids: np.ndarray, token_type_ids: np.ndarray, offsets: np.ndarray) -> str:
    """A hash of what a backbone reads."""
    digest = hashlib.sha256()
    for array in (input_ids, token_type_ids, offsets):
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()[:24]


def encode_texts(
    texts: Texts, tokenizer: Any, max_length: int, *, lexical: bool = False, places: bool = False
) -> Encoded:
    """Token ids of all rows, cut at `max_length`, in memory. `tokenizer` is a `tokenizers.Tokenizer`."""
    parts: dict[str, list[np.ndarray]] = {name: [] for name in (*FLAT, *COUNTED)}

    def keep(name: str, part: np.ndarray) -> None:
        parts[name].append(part)

    table, truncated = encode_chunks(texts, tokenizer, max_length, keep, lexical=lexical, places=places)
    flat: dict[str, Any] = {name: join_flat(parts[name], dtype) for name, dtype in FLAT.items()}
    offsets: dict[str, Any] = {name: make_offsets(parts[name]) for name in COUNTED}
    return Encoded(**flat, **offsets, lexical_table=table, truncated=truncated)


def encode_chunks(
    texts: Texts,
    tokenizer: Any,
    max_length: int,
    keep: Callable[[str, np.ndarray], None],
    *,
    lexical: bool = False,
    places: bool = False,
) -> tuple[np.ndarray, int]:
    """Encode CHUNK rows at a time; (lexical table, rows truncated).

    Each chunk's part of every field of FLAT and COUNTED goes to `keep`, in order; of a field that is unused, none does.
    """
    tokenizer.enable_truncation(max_length)
    vocabulary: dict[str, int] = {}
    truncated = 0
    for start in range(0, len(texts.first), CHUNK):
        chunk = _encode_chunk(texts, start, min(start + CHUNK, len(texts.first)), tokenizer, lexical, places)
        truncated += chunk.truncated
        keep("input_ids", chunk.ids)
        keep("token_type_ids", chunk.types)
        keep("offsets", chunk.lengths)
        keep("word_starts", chunk.word_starts)
        keep("word_offsets", chunk.word_counts)
        keep("segments", chunk.segments)
        keep("begins", chunk.places[:, 0])
        keep("ends", chunk.places[:, 1])
        if lexical:
            keep("lexical", _number_words(chunk, vocabulary))
    return build_lexical_table(list(vocabulary)), truncated


@dataclass(frozen=True)
class _Chunk:
    ids: np.ndarray
    types: np.ndarray
    lengths: np.ndarray
    word_starts: np.ndarray
    word_counts: np.ndarray
    words: list[str]
    piece_words: np.ndarray
    """(S,) index into `words`, -1 for special tokens."""
    first_pieces: np.ndarray
    truncated: int
    segments: np.ndarray
    places: np.ndarray
    """(S, 2) what each piece covers; (0, 2) where unused."""


def _encode_chunk(texts: Texts, start: int, stop: int, tokenizer: Any, lexical: bool, places: bool) -> _Chunk:
    first = texts.first.slice(start, stop - start).to_pylist()
    split = texts.kind == "tokens"
    inputs = first if texts.second is None else list(zip(first, _second(texts, start, stop), strict=True))
    encodings = tokenizer.encode_batch(inputs, is_pretokenized=split)
    lengths = np.fromiter((len(encoding.ids) for encoding in encodings), np.int64, len(encodings))
    ids = np.fromiter((i for encoding in encodings for i in encoding.ids), np.int32, int(lengths.sum()))
    types = np.fromiter((i for encoding in encodings for i in encoding.type_ids), np.int8, len(ids))
    if split:
        words = [word for row in first for word in row]
        counts = np.fromiter(map(len, first), np.int64, len(first))
    elif lexical:
        rows = [_find_words(encoding, text) for encoding, text in zip(encodings, first, strict=True)]
        words = [word for row in rows for word in row]
        counts = np.fromiter(map(len, rows), np.int64, len(rows))
    else:
        words, counts = [], np.zeros(len(first), np.int64)
    starts, piece_words, first_pieces = _place_words(encodings, lengths, counts)
    return _Chunk(
        ids, types, lengths,
        starts if split else np.empty(0, np.int32),
        counts if split else np.zeros(len(first), np.int64),
        words, piece_words, first_pieces,
        truncated=sum(bool(encoding.overflowing) for encoding in encodings),
        segments=np.empty(0, np.int8) if texts.second is None else find_segments(encodings, len(ids)),
        places=find_places(encodings, inputs, texts.kind, len(ids)) if places else np.empty((0, 2), np.int32),
    )  # fmt: skip


def _second(texts: Texts, start: int, stop: int) -> list[str]:
    assert texts.second is not None
    return texts.second.slice(start, stop - start).to_pylist()


def _find_words(encoding: Any, text: str) -> list[str]:
    spans: dict[int, tuple[int, int]] = {}
    sequences = encoding.sequence_ids
    for word, (begin, end), sequence in zip(encoding.word_ids, encoding.offsets, sequences, strict=True):
        if word is not None and sequence == 0:
            spans[word] = (min(spans.get(word, (begin, end))[0], begin), end)
    return [text[slice(*spans[word])] if word in spans else "" for word in range(max(spans, default=-1) + 1)]


def _place_words(encodings: Any, lengths: np.ndarray, counts: np.ndarray):
    """Where each word's first piece stands, and which word each piece belongs to."""
    total, words = int(lengths.sum()), int(counts.sum())
    if not words:
        return np.empty(0, np.int32), np.full(total, -1, np.int64), np.zeros(total, bool)
    local = np.fromiter(
        (
            -1 if word is None or sequence != 0 else word
            for encoding in encodings
            for word, sequence in zip(encoding.word_ids, encoding.sequence_ids, strict=True)
        ),
        np.int64,
        total,
    )
    row = np.repeat(np.arange(len(lengths)), lengths)
    row_starts = np.cumsum(lengths) - lengths
    word_starts = np.cumsum(counts) - counts
    inside = local >= 0
    piece_words = np.where(inside, local + word_starts[row], -1)
    previous = np.concatenate(([-2], piece_words[:-1]))
    first_pieces = inside & (piece_words != previous)
    starts = np.full(words, -1, np.int32)
    starts[piece_words[first_pieces]] = (np.arange(total) - row_starts[row])[first_pieces]
    return starts, piece_words, first_pieces


def _number_words(chunk: _Chunk, vocabulary: dict[str, int]) -> np.ndarray:
    """Each piece's row in the lexical table; new words are added to `vocabulary`."""
    numbers = np.fromiter(
        (vocabulary.setdefault(word, len(vocabulary)) for word in chunk.words), np.int64, len(chunk.words)
    )
    if not len(numbers):
        return np.zeros(len(chunk.piece_words), np.int32)
    rows = 2 * numbers[chunk.piece_words] + np.where(chunk.first_pieces, 1, 2)
    return np.where(chunk.piece_words >= 0, rows, 0).astype(np.int32)


def build_lexical_table(words: Sequence[str]) -> np.ndarray:
    """Bucket numbers that describe each word as first and as later piece; row 0: no word. Hashing trick, by CRC-32."""
    table = np.zeros((2 * len(words) + 1, LEXICAL_FEATURES), np.int32)
    for number, word in enumerate(words):
        lower = word.lower()
        keys = [f"w:{lower}"]
        keys += [f"p{length}:{lower[:length]}" for length in AFFIX_LENGTHS]
        keys += [f"s{length}:{lower[-length:]}" for length in AFFIX_LENGTHS]
        hashed = [1 + zlib.crc32(key.encode("utf-8", "replace")) % (LEXICAL_BUCKETS - 1) for key in keys]
        shape = find_shape(word)
        table[2 * number + 1] = [1 + zlib.crc32(f"first:{shape}".encode()) % (LEXICAL_BUCKETS - 1), *hashed]
        table[2 * number + 2] = [1 + zlib.crc32(f"later:{shape}".encode()) % (LEXICAL_BUCKETS - 1), *hashed]
    return table


def find_shape(word: str) -> str:
    """One of SHAPES: what the eye sees before it reads."""
    if not word:
        return ""
    if word.isdigit():
        return "digits"
    if any(character.isdigit() for character in word):
        return "digits-mixed"
    if word.islower():
        return "lower"
    if word.isupper():
        return "upper"
    if word.istitle():
        return "title"
    return "mixed" if any(character.isalpha() for character in word) else "other"


def join_flat(parts: Sequence[np.ndarray], dtype: Any) -> np.ndarray:
    """One array of the dtype, empty where there are no parts."""
    return np.concatenate(parts).astype(dtype, copy=False) if parts else np.empty(0, dtype)


def make_offsets(counts: list[np.ndarray]) -> np.ndarray:
    """Where each row begins and the last one ends, from its count of items: (N + 1,) int64."""
    lengths = np.concatenate(counts) if counts else np.empty(0, np.int64)
    return np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
