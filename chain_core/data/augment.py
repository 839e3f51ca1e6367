"""Changed copies of rows: words deleted, swapped with the next, replaced; their tags and places move along.

A word's tags are known by where it came from; of BIO tags only which entity a word belongs to is carried along, and the
first word that is left of it begins it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from chain_core.config import AugmentConfig
from chain_core.data.cells import join_lists, split_lists
from chain_core.data.changes import Changed, change_words, find_same, split_replacements
from chain_core.data.copies import Copies
from chain_core.data.labels import is_bio
from chain_core.data.pointed import Extents, Places, count_within, find_pointed, move_places
from chain_core.data.text import Texts
from chain_core.data.words import split_words

_PLAIN_END, _PLAIN_START = re.compile(r"[a-zA-Z0-9]$"), re.compile(r"[a-zA-Z0-9]")


@dataclass(frozen=True)
class Change:
    """How words are changed. `replacements`: a word in small letters -> what may stand in its place."""

    config: AugmentConfig
    replacements: Mapping[str, Sequence[str]]
    random: np.random.Generator

    def apply(
        self, words: np.ndarray, offsets: np.ndarray, entities: Sequence[np.ndarray], pointed: Mapping[str, np.ndarray]
    ) -> Changed:
        fixed = np.zeros(len(words), bool)
        for places in pointed.values():
            fixed |= places.any(0)
        return change_words(words, offsets, entities, fixed, self.config, self.replacements, self.random)


def change_rows(
    texts: Texts,
    tags: Mapping[str, pa.Array],
    rows: np.ndarray,
    change: Change,
    pointed: tuple[Places, Places] = ({}, {}),
) -> Copies:
    """One changed copy for each entry of `rows`, but for those that came out as they were.

    `tags`: column -> a tag a word, list<text> (N,), of texts in tokens; `pointed`: the places in the first and in the
    second text that labels point at. A row keeps at least one word.
    """
    first_places, second_places = ({head: ends[rows] for head, ends in places.items()} for places in pointed)
    taken = texts.first.take(pa.array(rows))
    second, tagged = None, dict[str, pa.Array]()
    if texts.kind == "tokens":
        first, same, places, tagged = _change_tokens(taken, tags, rows, change, first_places)
    else:
        first, same, places = _change_texts(taken, change, first_places)
        if texts.second is not None:
            second, unchanged, more = _change_texts(texts.second.take(pa.array(rows)), change, second_places)
            same, places = same & unchanged, places | more
    kept = pa.array(np.flatnonzero(~same))
    changed = Texts(texts.kind, first.take(kept), None if second is None else second.take(kept))
    return Copies(
        rows[~same],
        changed,
        {name: column.take(kept) for name, column in tagged.items()},
        {head: ends[~same] for head, ends in places.items()},
    )


def _change_tokens(
    lists: pa.Array, tags: Mapping[str, pa.Array], rows: np.ndarray, change: Change, places: Places
) -> tuple[pa.Array, np.ndarray, dict[str, np.ndarray], dict[str, pa.Array]]:
    """Changed lists of words, which of them stayed as they were, (M,) bool, their places and their tags."""
    items, offsets = split_lists(lists)
    before = np.array(items.to_pylist(), object)
    columns = {name: _take_tags(column, rows, offsets) for name, column in tags.items()}
    extents = count_within(offsets)
    pointed = find_pointed(places, offsets, extents)
    after = change.apply(before, offsets, [column.entities for column in columns.values()], pointed)
    after = split_replacements(after)
    joined = join_lists(pa.array(after.words, pa.string()), after.offsets, np.zeros(len(rows), bool))
    moved = move_places(places, pointed, extents, after, count_within(after.offsets))
    return joined, find_same(before, offsets, after), moved, {name: tag.move(after) for name, tag in columns.items()}


@dataclass(frozen=True)
class _Tags:
    """One column of tags beside flat words."""

    missing: np.ndarray
    """(M,) rows without tags."""
    tags: np.ndarray
    """(S,) object; "O" in rows without tags."""
    entities: np.ndarray
    """(S,) the number of each word's entity, -1 for none and for tags that are not BIO."""
    bio: bool

    def move(self, changed: Changed) -> pa.Array:
        """The tags of the changed words, list<text> (M,)."""
        tags = self.tags[changed.origins]
        if self.bio:
            entities = self.entities[changed.origins]
            owners = np.repeat(np.arange(len(changed.offsets) - 1), np.diff(changed.offsets))
            again = np.zeros(len(tags), bool)
            again[1:] = (entities[1:] == entities[:-1]) & (owners[1:] == owners[:-1])
            tags = np.array(
                [
                    tag if entity < 0 else ("I" if inside else "B") + tag[1:]
                    for tag, entity, inside in zip(tags, entities, again, strict=True)
                ],
                object,
            )
        counts = np.where(self.missing, 0, np.diff(changed.offsets))
        kept = np.repeat(~self.missing, np.diff(changed.offsets))
        ends = np.concatenate([[0], np.cumsum(counts)])
        return join_lists(pa.array(tags[kept], pa.string()), ends, self.missing)


def _take_tags(column: pa.Array, rows: np.ndarray, offsets: np.ndarray) -> _Tags:
    """The tags of some rows beside their words, whose offsets are (M+1,)."""
    items, tag_offsets = split_lists(column.take(pa.array(rows)))
    tagged = np.diff(tag_offsets) > 0
    tags = np.full(int(offsets[-1]), "O", object)
    tags[np.repeat(tagged, np.diff(offsets))] = items.to_pylist()
    names = {name: place for place, name in enumerate(dict.fromkeys(tags.tolist()))}
    bio = is_bio(list(names))
    entities = np.full(len(tags), -1)
    if bio:
        codes = np.array([names[tag] for tag in tags], np.int64)
        begins = np.array([name.startswith("B") for name in names], bool)[codes]
        inside = np.array([name != "O" for name in names], bool)[codes]
        entities = np.where(inside, np.cumsum(begins), -1)
    return _Tags(~tagged, tags, entities, bio)


def _change_texts(
    texts: pa.Array, change: Change, places: Places
) -> tuple[pa.Array, np.ndarray, dict[str, np.ndarray]]:
    """Texts with changed words, which of them stayed as they were, (M,) bool, and their places."""
    before = texts.to_pylist()
    split = [split_words(text) for text in before]
    words = np.array([word for row in split for word in row], object)
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in split], dtype=np.int64)])
    begins = np.array(
        [place for text, row in zip(before, split, strict=True) for place in _locate(text, row)], np.int64
    )
    extents = _measure(begins, words)
    pointed = find_pointed(places, offsets, extents)
    after = change.apply(words, offsets, (), pointed)
    spaced = begins > np.where(count_within(offsets).begins > 0, np.roll(extents.ends, 1), 0)
    joined, moved_begins = [], []
    for start, stop in pairwise(after.offsets):
        text, at = _join(after.words[start:stop], spaced[after.origins[start:stop]])
        joined.append(text)
        moved_begins += at
    moved = move_places(places, pointed, extents, after, _measure(np.array(moved_begins, np.int64), after.words))
    return pa.array(joined, pa.string()), find_same(words, offsets, after), moved


def _locate(text: str, words: Sequence[str]) -> list[int]:
    """The first character of each word."""
    found, place = [], 0
    for word in words:
        found.append(text.index(word, place))
        place = found[-1] + len(word)
    return found


def _measure(begins: np.ndarray, words: np.ndarray) -> Extents:
    return Extents(begins, begins + np.array([len(word) for word in words], np.int64))


def _join(words: np.ndarray, spaced: np.ndarray) -> tuple[str, list[int]]:
    """A text of its words, and where each begins; letters of two words never grow together."""
    text, begins = "", []
    for word, space in zip(words, spaced, strict=True):
        glued = _PLAIN_END.search(text) and _PLAIN_START.match(word)
        text += " " if text and (space or glued) else ""
        begins.append(len(text))
        text += word
    return text, begins


def list_words(texts: Texts, rows: np.ndarray) -> list[str]:
    """The distinct words of some rows, in small letters, sorted."""
    taken = pa.array(rows)
    if texts.kind == "tokens":
        return sorted({word.lower() for word in pc.unique(split_lists(texts.first.take(taken))[0]).to_pylist()})
    parts = [texts.first, *([] if texts.second is None else [texts.second])]
    return sorted(
        {word.lower() for part in parts for text in part.take(taken).to_pylist() for word in split_words(text)}
    )
