"""Warm start: which weights of a trained chain a new one begins with.

Links are kept whose weights have the same shapes, heads of the same name, kind and depth. Where a head's label space
has changed, what belongs to a label that both know is kept: rows of its output, steps between its tags. Everything else
begins as in any run, and notes say what became of each part. So does a link that a later stage adds: an old one in its
place would change what the chain says as it joins.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from chain_core.config import Config
from chain_core.data.cells import Note, build_note
from chain_core.errors import ConfigError
from chain_core.modeling.backbones.catalogue import BackboneFacts, compute_weights_key
from chain_core.modeling.backbones.tuning import compute_scale
from chain_core.modeling.bundle import load_bundle
from chain_core.modeling.heads.seats import Seat
from chain_core.modeling.model import ChainModel
from chain_core.training.anchors import Anchor

BY_LABEL = {"out.weight": (0,), "out.bias": (0,), "crf.steps": (0, 1), "crf.first": (0,), "crf.last": (0,)}
"""End of a parameter's name in a head -> its dimensions that run over the labels."""
FITTED = ("class_weights", "shift")
"""Counted from the rows at hand, so never taken over."""


@dataclass(frozen=True)
class Start:
    """What a run begins with."""

    weights: Mapping[str, Tensor] = field(default_factory=dict)
    """Name in the new model -> values of its shape."""
    kept: Mapping[str, Tensor] = field(default_factory=dict)
    """Of weights that are only partly old: which are, bool, of their shape."""
    notes: tuple[Note, ...] = ()
    heads: frozenset[str] = frozenset()
    """The heads that know their answers from the old run."""

    def apply(self, model: ChainModel) -> None:
        """Put the old weights in their places."""
        model.load_state_dict(dict(self.weights), strict=False)
        model.chain.answering_heads |= self.heads

    def build_anchor(self, model: ChainModel, strength: float, device: torch.device) -> Anchor:
        """The pull towards the old weights; of those that are partly old, the old part alone."""
        names = {name for name, _ in model.named_parameters()}
        values = {name: value.to(device) for name, value in self.weights.items() if name in names}
        return Anchor(values, strength, {name: part.to(device) for name, part in self.kept.items() if name in names})


def match_start(folder: Path, model: ChainModel, config: Config, facts: BackboneFacts) -> Start:
    """The weights that a bundle's folder has for a new model.

    Raises RunError where it is no bundle, ConfigError where its backbone, its tuning or the chain's width differ.
    """
    old, before, _, old_facts = load_bundle(folder)
    _check_backbone(before, config, old_facts, facts)
    _check_tuning(old, model, before, config)
    weights = _get_tuned(old, compute_scale(before.backbone) / compute_scale(config.backbone))
    notes: list[Note] = []
    matching, begun = list(_match_links(old, model)), config.get_stages()[0].depth
    assert begun is not None
    links = [position for position in matching if position <= begun]
    for position in links:
        weights |= _get_part(old, f"chain.cells.{position - 1}.")
    if old.chain.lexical is not None and model.chain.lexical is not None and links[:1] == [1]:
        weights |= _get_part(old, "chain.lexical.")
    kept: dict[str, Tensor] = {}
    heads = _match_heads(old, model, weights, kept)
    notes += _describe(old, model, links, heads)
    if joining := [position for position in matching if position > begun]:
        notes.append(build_note("start_joins", links=_join(joining), depth=begun))
    taught = old.chain.answering_heads.intersection(head.name for head in heads)
    return Start({name: value.clone() for name, value in weights.items()}, kept, tuple(notes), taught)


def _check_backbone(before: Config, config: Config, old_facts: BackboneFacts, facts: BackboneFacts) -> None:
    if compute_weights_key(old_facts.folder) != compute_weights_key(facts.folder):
        raise ConfigError("start_backbone", path="start.run", old=old_facts.name, new=facts.name)
    if before.chain.depth and config.chain.depth and before.chain.width != config.chain.width:
        raise ConfigError("start_width", path="chain.width", given=config.chain.width, old=before.chain.width)


def _check_tuning(old: ChainModel, model: ChainModel, before: Config, config: Config) -> None:
    """A tuned backbone can only go on as it was tuned: its links know no other."""
    shapes = [
        {name: value.shape for name, value in each.get_saved().items() if name.startswith("upper.")}
        for each in (old, model)
    ]
    if shapes[0] and shapes[0] != shapes[1]:
        raise ConfigError(
            "start_tuning", path="backbone.tuning", given=config.backbone.tuning, old=before.backbone.tuning
        )


def _get_tuned(old: ChainModel, times: float) -> dict[str, Tensor]:
    """What was tuned of the backbone. LoRA's second factor is taken `times` as large: so under another alpha, or as
    rsLoRA, the product of both changes the layers as before."""
    return {name: value * times if "lora_B" in name else value for name, value in _get_part(old, "upper.").items()}


def _get_part(model: ChainModel, prefix: str) -> dict[str, Tensor]:
    saved = model.get_saved()
    return {name: value for name, value in saved.items() if name.startswith(prefix)}


def _match_links(old: ChainModel, model: ChainModel) -> Iterator[int]:
    """The positions of links that keep their weights."""
    for position in range(1, min(len(old.chain.cells), len(model.chain.cells)) + 1):
        before, after = (_describe_link(each, position) for each in (old, model))
        if before == after:
            yield position


def _describe_link(model: ChainModel, position: int) -> tuple[Any, ...]:
    """What two links must have in common: kind, shapes, and of attention how wide its heads are."""
    link = model.chain.cells[position - 1].link
    shapes = {name: value.shape for name, value in _get_part(model, f"chain.cells.{position - 1}.").items()}
    return type(link), getattr(link, "head_size", None), shapes


@dataclass(frozen=True)
class _Head:
    """What became of a head: how many of its labels it knew already."""

    name: str
    position: int
    known: int
    labels: int


def _match_heads(
    old: ChainModel, model: ChainModel, weights: dict[str, Tensor], kept: dict[str, Tensor]
) -> list[_Head]:
    """The heads that keep weights, which are added to `weights`, and to `kept` where only some of a tensor are old."""
    seats = {_name_seat(seat, len(old.chain.cells)): seat for seat in old.chain.seats}
    found = []
    for index, seat in enumerate(model.chain.seats):
        twin = seats.get(_name_seat(seat, len(model.chain.cells)))
        if twin is None or not _fits(twin, seat):
            continue
        spaces = twin.head.task.label_space, seat.head.task.label_space
        numbers = np.array([spaces[0].index(label) if label in spaces[0] else -1 for label in spaces[1]], np.int64)
        for name, value in twin.state_dict().items():
            if name.endswith(FITTED):
                continue
            whole = f"chain.heads.{index}.{name}"
            new = seat.state_dict()[name]
            weights[whole] = value
            if spaces[0] != spaces[1] and _find_label_dimensions(name):
                weights[whole], kept[whole] = _take_labels(name, value, new, numbers)
        found.append(_Head(seat.head.task.name, seat.positions[-1], int((numbers >= 0).sum()), len(numbers)))
    return found


def _name_seat(seat: Seat, depth: int) -> tuple[Any, ...]:
    """What two seats must have in common: the head's name and kind, its places, of which the chain's end is one."""
    places = tuple("last" if position == depth and depth else position for position in seat.positions)
    return seat.head.task.name, seat.head.task.kind, places


def _fits(twin: Seat, seat: Seat) -> bool:
    """Whether the shapes agree but for the dimensions that run over labels; a CRF, nothing at first, may join."""
    old, new = (
        {name: _drop(value.shape, name) for name, value in each.state_dict().items() if not name.endswith(FITTED)}
        for each in (twin, seat)
    )
    return old in (new, {name: shape for name, shape in new.items() if not name.startswith("head.crf.")})


def _drop(shape: torch.Size, name: str) -> tuple[int, ...]:
    return tuple(size for place, size in enumerate(shape) if place not in _find_label_dimensions(name))


def _find_label_dimensions(name: str) -> tuple[int, ...]:
    return next((places for end, places in BY_LABEL.items() if name.endswith(f"head.{end}")), ())


def _take_labels(name: str, old: Tensor, new: Tensor, numbers: np.ndarray) -> tuple[Tensor, Tensor]:
    """The new values with the old ones of known labels in their places, and which these are. `numbers`: of each new
    label the old number, -1 for none."""
    known = torch.from_numpy(np.flatnonzero(numbers >= 0))
    wanted = torch.from_numpy(numbers[numbers >= 0])
    values, partly = new.detach().clone(), torch.zeros(new.shape, dtype=torch.bool)
    if len(_find_label_dimensions(name)) == 2:
        values[known[:, None], known] = old[wanted[:, None], wanted]
        partly[known[:, None], known] = True
    else:
        values[known] = old[wanted]
        partly[known] = True
    return values, partly


def _describe(old: ChainModel, model: ChainModel, links: list[int], heads: list[_Head]) -> list[Note]:
    """What was kept, what begins anew, what of the old run finds no place."""
    named = [f"{head.name}@{head.position}" for head in heads]
    notes = [build_note("start_kept", links=_join(links), heads=_join(dict.fromkeys(named)))]
    fresh = [position for position in range(1, len(model.chain.cells) + 1) if position not in links]
    new = [name for seat in model.chain.seats if (name := f"{seat.head.task.name}@{seat.positions[-1]}") not in named]
    if fresh or new:
        notes.append(build_note("start_new", links=_join(fresh), heads=_join(new)))
    left = sorted({task for task, _ in old.chain.keys} - {task for task, _ in model.chain.keys})
    if left:
        notes.append(build_note("start_left", heads=_join(left)))
    notes += [
        build_note("start_labels", head=head.name, known=head.known, labels=head.labels)
        for head in heads
        if head.known < head.labels
    ]
    moved = [position for position in links if old.chain.taps[position - 1] != model.chain.taps[position - 1]]
    if moved:
        taps = [old.chain.taps[position - 1] for position in moved]
        notes.append(build_note("start_taps", links=_join(moved), taps=_join(taps)))
    return notes


def _join(parts: Any) -> str:
    return ", ".join(str(part) for part in parts) or "–"
