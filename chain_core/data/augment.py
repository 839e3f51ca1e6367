"""Changed copies of rows: words deleted, swapped with the next, replaced; their tags move along.

Deletion and swaps as in Wei and Zou 2019 (arXiv 1901.11196). All rows are changed at once, on flat arrays of words. A
word's tags are known by where it came from; of BIO tags only which entity a word belongs to is carried along, and the
first word that is left of it begins it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from chain_core.config import AugmentConfig
from chain_core.data.cells import join_lists, split_lists
from chain_core.data.copies import Copies
from chain_core.data.labels import is_bio
from chain_core.data.text import Texts
from chain_core.data.words import split_words

_PLAIN_END, _PLAIN_START = re.compile(r"[a-zA-Z0-9]$"), re.compile(r"[a-zA-Z0-9]")


@dataclass(frozen=True)
class Changed:
    """Flat words of M rows after their changes."""

    words: np.ndarray
    """(S,) object"""
    offsets: np.ndarray
    """(M+1,)"""
    origins: np.ndarray
    """(S,) the place that each word had among the flat words before."""


def change_rows(
    texts: Texts,
    tags: Mapping[str, pa.Array],
    rows: np.ndarray,
    config: AugmentConfig,
    replacements: Mapping[str, Sequence[str]],
    random: np.random.Generator,
) -> Copies:
    """One changed copy for each entry of `rows`, but for those that came out as they were.

    `tags`: column -> a tag a word, list<text> (N,), of texts in tokens; `replacements`: a word in small letters ->
    what may stand in its place. A row keeps at least one word.
    """
    taken = texts.first.take(pa.array(rows))
    second = None
    if texts.kind == "tokens":
        items, offsets = split_lists(taken)
        before = np.array(items.to_pylist(), object)
        columns = {name: _take_tags(column, rows, offsets) for name, column in tags.items()}
        entities = [column.entities for column in columns.values()]
        after = change_words(before, offsets, entities, config, replacements, random)
        after = _split_replacements(after)
        same = _find_same(before, offsets, after)
        first = join_lists(pa.array(after.words, pa.string()), after.offsets, np.zeros(len(rows), bool))
        moved = {name: column.move(after) for name, column in columns.items()}
    else:
        first, same = _change_texts(taken, config, replacements, random)
        moved = {}
        if texts.second is not None:
            second, unchanged = _change_texts(texts.second.take(pa.array(rows)), config, replacements, random)
            same &= unchanged
    kept = pa.array(np.flatnonzero(~same))
    changed = Texts(texts.kind, first.take(kept), None if second is None else second.take(kept))
    return Copies(rows[~same], changed, {name: column.take(kept) for name, column in moved.items()})


def change_words(
    words: np.ndarray,
    offsets: np.ndarray,
    entities: Sequence[np.ndarray],
    config: AugmentConfig,
    replacements: Mapping[str, Sequence[str]],
    random: np.random.Generator,
) -> Changed:
    """Flat words (S,) of rows (M+1,) after deletion, swaps and replacement.

    `entities`: of each column of tags the number of the entity that a word belongs to, (S,), -1 for none.
    """
    owners = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    origins = _choose_kept(owners, config.delete, random)
    origins = origins[_choose_order(owners[origins], [column[origins] for column in entities], config.swap, random)]
    changed = _replace(words[origins], config.replace, replacements, random)
    counts = np.bincount(owners[origins], minlength=len(offsets) - 1)
    return Changed(changed, np.concatenate([[0], np.cumsum(counts)]), origins)


def _choose_kept(owners: np.ndarray, probability: float, random: np.random.Generator) -> np.ndarray:
    """The places of the words that stay, ascending: of each row one at least."""
    drawn = random.random(len(owners))
    kept = drawn >= probability
    if len(owners):
        rows, first = np.unique(owners, return_index=True)
        best = np.maximum.reduceat(drawn, first)
        empty = ~np.logical_or.reduceat(kept, first)
        row = np.searchsorted(rows, owners)
        kept |= empty[row] & (drawn == best[row])
    return np.flatnonzero(kept)


def _choose_order(
    owners: np.ndarray, entities: Sequence[np.ndarray], probability: float, random: np.random.Generator
) -> np.ndarray:
    """An order of the words in which some have changed places with the next of their row.

    Both are of one entity, or neither is of one that has more words: so no entity is torn apart.
    """
    order = np.arange(len(owners))
    if len(owners) < 2:
        return order
    swaps = (owners[:-1] == owners[1:]) & (random.random(len(owners) - 1) < probability)
    for column in entities:
        joined = (owners[:-1] == owners[1:]) & (column[:-1] == column[1:]) & (column[:-1] >= 0)
        apart = ~np.concatenate([[False], joined[:-1]]) & ~np.concatenate([joined[1:], [False]])
        swaps &= joined | apart
    # Of swaps that follow each other every second: a word moves once.
    places = np.arange(len(swaps))
    begins = swaps & ~np.concatenate([[False], swaps[:-1]])
    since = places - np.maximum.accumulate(np.where(begins, places, 0))
    first = np.flatnonzero(swaps & (since % 2 == 0))
    order[first], order[first + 1] = first + 1, first
    return order


def _replace(
    words: np.ndarray, probability: float, replacements: Mapping[str, Sequence[str]], random: np.random.Generator
) -> np.ndarray:
    drawn, chosen = random.random(len(words)), random.random(len(words))
    changed = words.copy()
    for place in np.flatnonzero(drawn < probability):
        options = replacements.get(words[place].lower())
        if options:
            changed[place] = match_case(words[place], options[int(chosen[place] * len(options))])
    return changed


def match_case(word: str, replacement: str) -> str:
    """The replacement with capitals where the word has them."""
    if word.isupper() and len(word) > 1:
        return replacement.upper()
    return replacement[:1].upper() + replacement[1:] if word[:1].isupper() else replacement


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


def _split_replacements(changed: Changed) -> Changed:
    """Replacements of several words as so many words, all of the place that the one had."""
    counts = np.array([len(word.split()) if " " in word else 1 for word in changed.words], np.int64)
    if (counts == 1).all():
        return changed
    words = [part for word in changed.words for part in (word.split() if " " in word else (word,))]
    ends = np.concatenate([[0], np.cumsum(counts)])
    return Changed(np.array(words, object), ends[changed.offsets], np.repeat(changed.origins, counts))


def _find_same(before: np.ndarray, offsets: np.ndarray, after: Changed) -> np.ndarray:
    """(M,) rows whose words are what they were."""
    same = np.diff(offsets) == np.diff(after.offsets)
    old, new = before[np.repeat(same, np.diff(offsets))], after.words[np.repeat(same, np.diff(after.offsets))]
    owners = np.repeat(np.arange(len(same)), np.diff(after.offsets))[np.repeat(same, np.diff(after.offsets))]
    same[owners[old != new]] = False
    return same


def _change_texts(
    texts: pa.Array, config: AugmentConfig, replacements: Mapping[str, Sequence[str]], random: np.random.Generator
) -> tuple[pa.Array, np.ndarray]:
    """Texts with changed words, and which of them stayed as they were, (M,) bool."""
    before = texts.to_pylist()
    split = [split_words(text) for text in before]
    words = np.array([word for row in split for word in row], object)
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in split], dtype=np.int64)])
    after = change_words(words, offsets, (), config, replacements, random)
    spaced = np.array([flag for text, row in zip(before, split, strict=True) for flag in _find_spaces(text, row)], bool)
    joined = []
    for start, stop in pairwise(after.offsets):
        joined.append(_join(after.words[start:stop], spaced[after.origins[start:stop]]))
    same = _find_same(words, offsets, after)
    return pa.array(joined, pa.string()), same


def _find_spaces(text: str, words: Sequence[str]) -> Iterator[bool]:
    """Whether white space stands before each word."""
    place = 0
    for word in words:
        found = text.index(word, place)
        yield found > place
        place = found + len(word)


def _join(words: Iterable[str], spaced: Iterable[bool]) -> str:
    """A text of its words; letters of two words never grow together."""
    text = ""
    for word, space in zip(words, spaced, strict=True):
        glued = _PLAIN_END.search(text) and _PLAIN_START.match(word)
        text += (" " if text and (space or glued) else "") + word
    return text


def list_words(texts: Texts, rows: np.ndarray) -> list[str]:
    """The distinct words of some rows, in small letters, sorted."""
    taken = pa.array(rows)
    if texts.kind == "tokens":
        return sorted({word.lower() for word in pc.unique(split_lists(texts.first.take(taken))[0]).to_pylist()})
    parts = [texts.first, *([] if texts.second is None else [texts.second])]
    return sorted(
        {word.lower() for part in parts for text in part.take(taken).to_pylist() for word in split_words(text)}
    )
