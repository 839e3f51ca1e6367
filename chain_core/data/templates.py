"""Sentences drawn from hassil's templates, with the words that fill a slot marked.

A template is walked once for each sentence: at each alternative one branch is drawn, at each list one value.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chain_core.data.household import (
    CHINESE,
    CHINESE_DEVICES,
    DOMAINS,
    ENGLISH,
    ENGLISH_DEVICES,
    NO_DOMAIN,
    Names,
)  # fmt: skip
from chain_core.data.words import split_words
from chain_core.errors import DataError
from chain_core.paths import find_package

_LANGUAGES = {"en": (ENGLISH, ENGLISH_DEVICES), "zh-CN": (CHINESE, CHINESE_DEVICES)}
_FEWEST = 10  # sentences of an intent that is kept
_TRIES = 12  # walks for each sentence wanted: small templates repeat themselves
Piece = tuple[str, str | None]


@dataclass
class _Walk:
    """One sentence in the making: what the walk may draw from, and the domain its device turned out to have."""

    generator: random.Random
    lists: Mapping[str, Any]
    rules: Mapping[str, Any]
    values: Names
    devices: Names
    domains: list[str] = field(default_factory=list)
    domain: str | None = None


def get_package(package: str) -> Path:
    """The folder of a package that a sample is read from. Raises DataError where it is not installed."""
    folder = find_package(package)
    if folder is None:
        raise DataError("sample_package_missing", package=package.replace("_", "-"))
    return folder


def build_commands(language: str, rows: int, seed: int) -> list[dict[str, Any]]:
    """About `rows` different commands: tokens, intent, domain, slots (BIO); in the order of the seed."""
    from hassil.intents import Intents

    path = get_package("home_assistant_intents") / "data" / f"{language}.json"
    intents = Intents.from_dict(json.loads(path.read_text(encoding="utf-8")))
    generator = random.Random(seed)
    weights = {name: len(intent.data) ** 0.5 for name, intent in intents.intents.items()}
    scale = rows / sum(weights.values())
    seen: set[str] = set()
    commands = []
    for name, intent in intents.intents.items():
        wanted = round(weights[name] * scale)
        found = list(_draw_commands(intents, name, intent.data, language, wanted, generator, seen))
        commands += found if len(found) >= _FEWEST else []
    generator.shuffle(commands)
    return commands


def _draw_commands(
    intents: Any, name: str, blocks: Any, language: str, wanted: int, generator: random.Random, seen: set[str]
) -> Iterator[dict[str, Any]]:
    """Up to `wanted` commands of one intent that were not seen yet."""
    values, devices = _LANGUAGES[language]
    found = 0
    for _ in range(wanted * _TRIES):
        block = generator.choice(blocks)
        walk = _Walk(
            generator,
            {**intents.slot_lists, **block.slot_lists},
            {**intents.expansion_rules, **block.expansion_rules},
            values,
            devices,
            _get_domains(block, devices),
        )
        pieces = list(_draw(generator.choice(block.sentences).expression, walk))
        tokens, slots = _tag(pieces)
        key = " ".join(tokens)
        if not tokens or key in seen:
            continue
        seen.add(key)
        intent = name.removeprefix("Hass")
        domain = walk.domain or (walk.domains[0] if walk.domains else _guess_domain(intent))
        yield {"tokens": tokens, "intent": intent, "domain": domain, "slots": slots}
        found += 1
        if found == wanted:
            return


def _get_domains(block: Any, devices: Names) -> list[str]:
    """The domains whose devices this block may name."""
    given = block.slots.get("domain") or block.requires_context.get("domain") or []
    given = [given] if isinstance(given, str) else list(given)
    return [domain for domain in given if domain in devices]


def _guess_domain(intent: str) -> str:
    return next((domain for part, domain in DOMAINS.items() if part in intent), NO_DOMAIN)


def _draw(expression: Any, walk: _Walk, slot: str | None = None) -> Iterator[Piece]:
    """The pieces of one way through an expression, each with the slot it fills."""
    from hassil.expression import Alternative, ListReference, Permutation, RuleReference, Sequence, TextChunk

    if isinstance(expression, TextChunk):
        yield expression.original_text, slot
    elif isinstance(expression, Alternative):
        yield from _draw(walk.generator.choice(expression.items), walk, slot)
    elif isinstance(expression, Permutation):
        items = walk.generator.sample(expression.items, len(expression.items))
        for item in items:
            yield from _draw(item, walk, slot)
            yield " ", None
    elif isinstance(expression, Sequence):
        for item in expression.items:
            yield from _draw(item, walk, slot)
    elif isinstance(expression, RuleReference):
        yield from _draw(walk.rules[expression.rule_name].expression, walk, slot)
    elif isinstance(expression, ListReference):
        yield from _draw_value(expression, walk)
    else:
        raise TypeError(type(expression).__name__)


def _draw_value(reference: Any, walk: _Walk) -> Iterator[Piece]:
    from hassil.intents import RangeSlotList, TextSlotList

    name, slot = reference.list_name, reference.slot_name
    if name == "name":
        domains = walk.domains or list(walk.devices)
        walk.domain = walk.domain or walk.generator.choice(domains)
        yield walk.generator.choice(walk.devices[walk.domain]), slot
    elif name in walk.values:
        yield walk.generator.choice(walk.values[name]), slot
    elif isinstance(values := walk.lists[name], TextSlotList):
        yield from _draw(walk.generator.choice(values.values).text_in, walk, slot)
    elif isinstance(values, RangeSlotList):
        yield str(walk.generator.choice(range(values.start, values.stop + 1, values.step))), slot
    else:
        raise DataError("sample_package_missing", package="home-assistant-intents")


def _tag(pieces: list[Piece]) -> tuple[list[str], list[str]]:
    """Tokens and BIO tags: a token is tagged by the slot that its first character fills."""
    text = "".join(piece for piece, _ in pieces)
    owners: list[int | None] = []
    for number, (piece, slot) in enumerate(pieces):
        owners += [number if slot else None] * len(piece)
    tokens = split_words(text)
    tags, place, last = [], 0, None
    for token in tokens:
        place = text.index(token, place)
        owner = owners[place]
        slot = pieces[owner][1] if owner is not None else None
        continues = last is not None and slot is not None and (owner == last or pieces[last][1] == slot)
        tags.append("O" if slot is None else f"{'I' if continues else 'B'}-{slot}")
        place, last = place + len(token), owner
    return tokens, tags
