"""What a config asks for that comes to nothing: each is told, and nothing else is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from chain_core.config import TUNINGS, Config, merge, resolve_config
from chain_core.messages import LANGUAGES, render
from chain_core.presets import PRESETS
from chain_core.services.rows.complete import add_language_heads
from chain_core.services.rows.idle import find_idle
from tests.training.setup import PLAIN, finish, get_ready

HEAD = {"kind": "classification", "column": "intent"}
BASE = {"data": {"train": "train.csv"}, "input": {"text": "text"}, "heads": {"intent": HEAD}}
WORDS: dict[str, Any] = {"objective": "masked_lm"}


def build(**sections: Any) -> Config:
    return add_language_heads(resolve_config(merge(BASE, sections)))


def list_idle(**sections: Any) -> list[tuple[str, str]]:
    """(code, the key, links or heads that it is about)."""
    found = []
    for note in find_idle(build(**sections)):
        for language in LANGUAGES:
            assert "{" not in render(f"notes.{note['code']}", language, **note["params"])
        names = (note["params"].get(name) for name in ("path", "links", "heads"))
        found.append((note["code"], next((name for name in names if name), "")))
    return found


def at(*depths: Any, **head: Any) -> dict[str, Any]:
    return {"intent": {**HEAD, "depths": list(depths), **head}}


@pytest.mark.parametrize(
    ("sections", "links"),
    [
        ({"chain": {"links": {"detach": True}}}, "1, 2"),
        ({"chain": {"links": {"detach": True}}, "heads": at(1, 2, 3)}, ""),
        ({"chain": {"links": {"detach": True}}, "heads": at(1, 2, 3, depth_weights=[0, 1, 1])}, "1"),
        ({"chain": {"links": {"detach": True}}, "heads": at(1, 3, mixture=True)}, "2"),
        ({"chain": {"links": {"detach": True, "kind": "bottleneck", "tie": 1}}}, ""),
        ({"chain": {"links": {"detach": True}}, "stages": [{**WORDS, "depth": 1}, {"depth": 2}, {}]}, ""),
        ({"heads": at(0)}, "1, 2, 3"),
        ({"heads": {**at(0), "words": {"kind": "masked_lm"}}, "stages": [WORDS, {}]}, ""),
        ({"heads": at(1, "last")}, ""),
        ({"heads": at(1)}, "2, 3"),
        ({"heads": at(1), "chain": {"links": [{}, {"strategy": "freeze", "init": "random"}, {}]}}, "3"),
        ({"stages": [{"depth": 2}]}, "3"),
        ({"stages": [{"depth": 2}, {"trains": ["heads"]}]}, "3"),
        ({"stages": [{"trains": ["heads"]}]}, ""),
    ],
)
def test_links_that_no_loss_reaches_are_told(sections: dict[str, Any], links: str) -> None:
    assert list_idle(**sections) == ([("links_unreached", links)] if links else [])


@pytest.mark.parametrize(
    "sections",
    [
        {"chain": {"depth": 3, "links": {"detach": True}}},
        {"chain": {"depth": 3, "links": {"detach": True}}, "heads": at(1, "last")},
        {"chain": {"depth": 3, "links": {"detach": True, "kind": "bottleneck", "tie": 1}}},
        {"chain": {"depth": 2}, "heads": at(1), "stages": [{"depth": 1}, {"trains": ["links", "heads"]}]},
    ],
)
def test_the_links_that_are_told_are_those_that_stay(
    backbone: Path, commands: Path, tmp_path: Path, sections: dict[str, Any]
) -> None:
    rows = {"data": {"train": str(commands), "validation": 0.25}, "backbone": {"name": str(backbone)}}
    mapping = merge(merge(PLAIN, {**rows, "heads": {"intent": HEAD}, "train": {"epochs": 1}}), sections)
    ready = get_ready(mapping, tmp_path)
    links = [cell.link for cell in ready.model.chain.cells]
    before = [[value.detach().clone() for value in link.parameters()] for link in links]
    finish(ready.train())
    still = [
        number
        for number, (link, values) in enumerate(zip(links, before, strict=True), start=1)
        if all(torch.equal(value, old) for value, old in zip(link.parameters(), values, strict=True))
    ]
    told = [note["params"]["links"] for note in ready.material.notes if note["code"] == "links_unreached"]
    assert told == [", ".join(map(str, still))] * bool(still)


FREEZE = {"strategy": "freeze"}


@pytest.mark.parametrize(
    ("sections", "links"),
    [
        ({"chain": {"links": FREEZE}}, "1, 2, 3"),
        ({"chain": {"links": [FREEZE, {}, FREEZE]}}, "1, 3"),
        ({"chain": {"links": {**FREEZE, "init": "random"}}}, ""),
        ({"chain": {"links": {**FREEZE, "kind": "backbone", "init": "backbone"}}}, ""),
        ({"chain": {"links": FREEZE}, "start": {"run": "old"}}, ""),
        ({"chain": {"depth": 2, "links": [{"kind": "linear"}, {**FREEZE, "kind": "linear", "tie": 1}]}}, ""),
    ],
)
def test_links_that_are_frozen_while_they_add_nothing_are_told(sections: dict[str, Any], links: str) -> None:
    assert list_idle(**sections) == ([("links_empty", links)] if links else [])


@pytest.mark.parametrize(
    ("sections", "idle"),
    [
        ({"stages": [WORDS]}, ("heads_untaught", "intent")),
        ({"stages": [WORDS], "start": {"run": "old"}}, None),
        ({"stages": [WORDS, {}]}, None),
        ({"heads": at("last", mixture=True)}, ("one_depth", "heads.intent.mixture")),
        ({"heads": at(3, share=True)}, ("one_depth", "heads.intent.share")),
        ({"heads": at(0, 2, share=True), "chain": {"depth": 2}}, None),
        ({"augment": {"synonyms": "words.txt"}}, ("no_effect", "augment.synonyms")),
        ({"augment": {"back_translation": ["there", "back"]}}, ("no_effect", "augment.back_translation")),
        ({"augment": {"synonyms": "words.txt", "copies": 1}}, None),
        ({"augment": {"copies": 1, "languages": ["en", "fr"]}}, ("no_effect", "augment.languages")),
        ({"augment": {"copies": 1, "languages": ["en", "fr"], "back_translation": ["a", "b"]}}, None),
        ({"train": {"l2_sp": 0.01}}, ("no_effect", "train.l2_sp")),
        ({"train": {"l2_sp": 0.01}, "backbone": {"tuning": "norm"}}, None),
        ({"backbone": {"rank": 8}}, ("no_effect", "backbone.rank")),
        ({"backbone": {"rank": 8, "tuning": "dora"}}, None),
        ({"preset": "balanced", "backbone": {"tuning": "frozen"}}, None),
        ({"chain": {"links": {"kind": "backbone", "tie": "backbone", "density": 0.5}}},
         ("no_effect", "chain.links.density")),
        ({"chain": {"links": {"kind": "linear", "kernel": 7}}}, ("no_effect", "chain.links.kernel")),
        ({"chain": {"depth": 0, "budget": "500k"}}, ("no_effect", "chain.budget")),
        ({"train": {"epochs": 9}, "stages": [{}]}, ("epochs_beside_stages", "")),
        ({"train": {"temperature": 3.0}}, ("no_effect", "train.temperature")),
        ({"train": {"prune": 0.5}, "backbone": {"tuning": "adalora"}}, ("no_effect", "train.prune")),
        ({"train": {"average": 0.5}, "backbone": {"tuning": "adalora"}}, ("no_effect", "train.average")),
        ({"train": {"average": 0.0}, "backbone": {"tuning": "adalora"}}, None),
        ({"train": {"prune": 0.5, "average": 0.5}}, None),
    ],
)  # fmt: skip
def test_options_and_heads_that_come_to_nothing_are_told(
    sections: dict[str, Any], idle: tuple[str, str] | None
) -> None:
    assert list_idle(**sections) == ([idle] if idle else [])


@pytest.mark.parametrize("preset", PRESETS)
def test_of_what_presets_say_nothing_is_told(preset: str) -> None:
    assert [list_idle(preset=preset, backbone={"tuning": tuning}) for tuning in TUNINGS] == [[]] * len(TUNINGS)
