"""From a run's rows to its feed: encoded, the frozen half's states computed or found cached, labels as numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from chain_core.config import Config, InputConfig, StageConfig
from chain_core.data.cells import build_note
from chain_core.data.encode import Encoded
from chain_core.data.encoded_files import load_encoded
from chain_core.data.encoded_rows import join_encoded
from chain_core.data.places import find_reach
from chain_core.data.rows import RowSet, join_gold, join_splits, join_texts
from chain_core.data.schema import Task
from chain_core.data.text import Texts
from chain_core.modeling.backbones.catalogue import BackboneFacts, compute_tokenizer_key, load_tokenizer
from chain_core.modeling.joined import States
from chain_core.modeling.model import ChainModel
from chain_core.modeling.reads import needs_places, needs_positions
from chain_core.modeling.team import SOLO, Team
from chain_core.training.control import ReadControl
from chain_core.training.feed import Feed, Labels, encode_all_labels
from chain_core.training.hidden import HiddenReader, Part, cut_parts, watch_features
from chain_core.training.language import Reader, build_causal_labels, build_language_feeds

Emit = Callable[[dict[str, Any]], None]
"""At most so often a progress event."""


@dataclass(frozen=True)
class Material:
    """Everything of a run that is known before anything is computed."""

    config: Config
    sets: tuple[RowSet, ...]
    """The data sets, that of `data` first; a row's number counts on from set to set."""
    tasks: tuple[Task, ...]
    facts: BackboneFacts
    notes: tuple[dict[str, Any], ...]
    unlabelled: Mapping[int, Texts] = field(default_factory=dict)
    """Number of each stage that brings rows of its own -> its texts."""
    layers: tuple[int, ...] = ()
    """Backbone layers that other runs of these rows will read."""

    @property
    def texts(self) -> tuple[Texts, ...]:
        """The inputs, set by set."""
        return tuple(part.texts for part in self.sets)


@dataclass(frozen=True)
class FeedBuilder:
    """What a run's rows are made ready with. Tells phase, note and progress events; raises Interruption."""

    material: Material
    model: ChainModel
    device: torch.device
    dtype: torch.dtype
    tell: Emit
    read_control: ReadControl
    done: int = 0
    """Stages that the run has behind it."""
    team: Team = SOLO
    """Each of its processes gets all rows, of which the main one computes those on disk first, or all do together."""

    def build(self) -> Feed:
        """All rows ready to be cut into batches, test rows that training does without not before `complete`."""
        material, config = self.material, self.material.config
        self.tell({"kind": "phase", "phase": "features"})
        sets = self._encode_sets()
        tests = {name: part.data.test for name, part in config.get_sets().items() if isinstance(part.data.test, str)}
        encoded, parts = join_encoded(sets), cut_parts(sets, material.sets, tests)
        pooled, cached = not needs_positions(config), self.model.cached_layers
        untouched = any(stage.reads_rows for stage in self._find_untouched().values())
        layers = self._choose_layers(parts, pooled, untouched=untouched)
        states = self._build_reader(pooled, layers).read(parts)
        gold = join_gold(material.sets, material.tasks)
        labels = encode_all_labels(gold, [task for task in material.tasks if task.name in gold])
        labels = drop_cut_labels(labels, sets, material.sets, self.tell) | build_causal_labels(config, encoded)
        splits, texts = join_splits(material.sets), join_texts(material.texts)
        return Feed(
            encoded, {layer: states[layer] for layer in cached}, pooled, gold, labels, splits, texts, parts,
            untouched={layer: states[layer] for layer in self.model.reads} if layers != cached else {},
        )  # fmt: skip

    def complete(self, feed: Feed) -> Feed:
        """`feed` with what training did without."""
        if not feed.hidden or not any(part.later for part in feed.parts):
            return feed
        self.tell({"kind": "phase", "phase": "features"})
        hidden = self._build_reader(feed.pooled, self.model.cached_layers).read(feed.parts, trained=True)
        return replace(feed, hidden=hidden)

    def build_stages(self, feed: Feed) -> dict[int, Feed]:
        """Number of each stage that does not read `feed` as it is -> its rows: where it learns the texts themselves, or
        comes before the backbone's tuning."""
        material, config = self.material, self.material.config
        untouched = self._find_untouched()

        def encode(texts: Texts, source: str) -> Encoded:
            return self._encode(texts, source, config.input)

        def read(encoded: Encoded, source: str, number: int) -> Mapping[int, States]:
            parts = [Part(encoded, source)]
            layers = self._choose_layers(parts, feed.pooled, untouched=number in untouched)
            return self._build_reader(feed.pooled, layers).read(parts)

        first = dict.fromkeys(untouched, feed.read_untouched()) if feed.untouched else {}
        reader = Reader(config, material.facts, self.model, self.device, self.dtype, feed.pooled, encode, read, first)
        return first | build_language_feeds(reader, feed, material.texts, material.unlabelled)

    def _encode_sets(self) -> list[Encoded]:
        """The sets' rows, each set encoded, and kept on disk, by itself."""
        sets = self.material.sets
        encoded = [self._encode(part.texts, part.source, part.columns) for part in sets]
        for rows, part in zip(encoded, sets, strict=True):
            if rows.truncated:
                params = {"rows": rows.truncated, "max_length": self._get_length(part.columns)}
                self.tell({"kind": "note", "code": "texts_truncated", "params": params})
        return encoded

    def _encode(self, texts: Texts, source: str, columns: InputConfig) -> Encoded:
        config, facts = self.material.config, self.material.facts
        return self.team.first(
            lambda: load_encoded(
                texts,
                compute_tokenizer_key(facts.folder),
                lambda: load_tokenizer(facts.folder),
                self._get_length(columns),
                lexical=config.uses_lexical,
                places=needs_places(config),
                meta={"backbone": facts.name, "data": source},
                progress=watch_features(self.tell, self.read_control),
            )
        )

    def _get_length(self, columns: InputConfig) -> int:
        """Most positions of a row."""
        return columns.max_length or self.material.facts.max_length

    def _find_untouched(self) -> dict[int, StageConfig]:
        """The stages to come in which the backbone is as it came."""
        found = self.material.config.find_untouched()
        return {number: stage for number, stage in found.items() if number > self.done}

    def _choose_layers(self, parts: Sequence[Part], pooled: bool, *, untouched: bool) -> tuple[int, ...]:
        """The layers that rows are read in: the frozen half's, and all that the chain reads of an untouched backbone
        where there is room for their states."""
        cached = self.model.cached_layers
        if not untouched:
            return cached
        layers = tuple(sorted({*cached, *self.model.reads}))
        reader = self._build_reader(pooled, layers)
        if self.team.lead(lambda: reader.has_room(parts)):
            return layers
        self.tell({"kind": "note", **build_note("stage_uncached")})
        return cached

    def _build_reader(self, pooled: bool, wanted: tuple[int, ...]) -> HiddenReader:
        last = max([self.model.base, *wanted])
        others = tuple(layer for layer in self.material.layers if layer <= last)
        return HiddenReader(
            self.material.facts, wanted, self.model.cached_layers, self.device, self.dtype, pooled, others, self.tell,
            self.read_control, self.team,
        )  # fmt: skip


def drop_cut_labels(
    labels: dict[str, Labels], parts: Sequence[Encoded], sets: Sequence[RowSet], tell: Emit
) -> dict[str, Labels]:
    """The labels without those whose answer or spans stand beyond what was read: no position could learn them."""
    kept, start = dict(labels), 0
    for part, encoded in zip(sets, parts, strict=True):
        for task in part.tasks:
            if task.kind not in ("span", "relation") or not encoded.truncated:
                continue
            values = np.array(kept[task.name])
            own = values[start : start + encoded.rows]
            searched = 0 if task.kind == "relation" or part.texts.second is None else 1
            needed = own[:, 1] if task.kind == "span" else part.texts.spans[task.name].max(1)
            cut = needed > find_reach(encoded, searched)
            if cut.any():
                own[cut] = -1
                kept[task.name] = values
                tell({"kind": "note", "code": "spans_cut", "params": {"head": task.name, "rows": int(cut.sum())}})
        start += encoded.rows
    return kept
