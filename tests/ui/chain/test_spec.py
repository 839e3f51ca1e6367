"""What the Chain page's fields say and when they are shown, without a page."""

from __future__ import annotations

import re
from typing import Any

import pytest

from chain_core.config import (
    HEAD_KINDS,
    AugmentConfig,
    BackboneConfig,
    ChainConfig,
    DataConfig,
    HeadConfig,
    InputConfig,
    LinkConfig,
    StageConfig,
    StartConfig,
    TrainConfig,
)
from chain_core.config.checks import OPTIONS_OF_KINDS
from chain_core.messages import LANGUAGES, load_catalogue
from chain_core.paths import PROJECT
from chain_core.ui.chain.edit import complete
from chain_core.ui.chain.limits import read_limits
from chain_core.ui.chain.spec import BALANCE, GROUPS, HEAD, LINKS, STAGE, Group

SECTIONS = {
    AugmentConfig: "augment", BackboneConfig: "backbone", ChainConfig: "chain", DataConfig: "data",
    HeadConfig: "heads.NAME", InputConfig: "input", LinkConfig: "chain.links", StageConfig: "stages",
    StartConfig: "start", TrainConfig: "train",
}  # fmt: skip
"""Section -> where it stands in the README's table."""
IN_SIGHT = {
    "chain.depth": "chain.depth", "chain.width": "chain.width", "train.epochs": "chain.epochs",
    "train.batch_size": "chain.batch_size", "heads.NAME.weight": "chain.weight",
}  # fmt: skip
"""Key -> label of those that stand in no group."""
ADVICE = {"en": r"[Gg]ood values: (.*?)(?:\. |\.$)", "zh": r"(?:建议|推荐)(.*?)。"}


def read_numbers(text: str) -> list[float]:
    return sorted(float(number) for number in re.findall(r"\d+(?:\.\d+)?(?:e-?\d+)?", text))


def read_good_values() -> dict[str, list[float]]:
    """Key -> the numbers in brackets in its row of the README's table."""
    table = (PROJECT / "README.md").read_text(encoding="utf-8").partition("## Every key")[2].partition("\n## ")[0]
    found = {}
    for key, row in re.findall(r"^\| `([\w.]+)` \|(.*)\|$", table, re.MULTILINE):
        advice = re.search(r"\((\d[^()]*)\)", row)
        found[key] = read_numbers(advice[1]) if advice else []
    return found


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_and_the_readme_name_the_same_good_values(language: str) -> None:
    catalogue, written = load_catalogue(language), read_good_values()
    labels = {f"{SECTIONS[group.section]}.{field.name}": field.label for group in GROUPS for field in group.fields}
    shown = {}
    for key, label in {**labels, **IN_SIGHT}.items():
        advice = re.search(ADVICE[language], catalogue[f"{label}_help"])
        shown[key] = read_numbers(advice[1]) if advice else []
    for rate in ("learning_rate", "backbone_learning_rate"):
        assert written[f"stages.{rate}"] == [], "as in train"
        written[f"stages.{rate}"] = written[f"train.{rate}"]
    assert len([numbers for numbers in shown.values() if numbers]) > 30
    assert {key: numbers for key, numbers in written.items() if key in shown} == shown


def list_shown(group: Group, section: dict[str, Any], **draft: Any) -> set[str]:
    whole = complete({"data": {"train": "-"}, "input": {"text": "text", "pair": "pair"}, **draft})
    return {field.name for field in group.fields if field.when(section, whole)}


@pytest.mark.parametrize("kind", HEAD_KINDS)
def test_a_head_of_each_kind_shows_the_options_that_it_has(kind: str) -> None:
    head = {**HeadConfig(kind=kind, depths=(0, "last")).model_dump(mode="json"), "column": "a"}
    every = {field.name for field in HEAD.fields}
    foreign = {option for option, kinds in OPTIONS_OF_KINDS.items() if kind not in kinds}
    assert list_shown(HEAD, head) == every - foreign


def test_losses_can_be_balanced_where_there_are_several() -> None:
    head = {"kind": "classification", "column": "a"}
    one, depths = {"a": head}, {"a": {**head, "depths": [0, "last"]}}
    train = TrainConfig().model_dump(mode="json")
    assert list_shown(BALANCE, train, heads=one) == set()
    assert list_shown(BALANCE, train, heads=depths) == {"loss_weights"}
    assert list_shown(BALANCE, train, heads={"a": {**depths["a"], "mixture": True}}) == set()
    assert list_shown(BALANCE, train, heads={"a": head, "b": head}) == {"loss_weights", "sampling"}


WITHOUT = {"data.split_seed", "train.seed", "stages.depth", "train.checkpoint_steps"}
"""Numbers of which none is better than another, or that hang on the machine."""


def test_every_number_on_the_page_comes_with_good_values() -> None:
    written = read_good_values()
    numbers = {
        f"{SECTIONS[group.section]}.{field.name}"
        for group in GROUPS
        for field in group.fields
        if read_limits(group.section, field.name).kind in ("whole", "real")
    }
    silent = {key for key in {*numbers, *IN_SIGHT} if not written[key]}
    assert silent - {"stages.learning_rate", "stages.backbone_learning_rate"} <= WITHOUT, "as in train"


@pytest.mark.parametrize(
    ("kind", "heads", "shown"),
    [("conv", "classification", True), ("auto", "tagging", True), ("auto", "classification", False),
     ("attention", "tagging", False)],
)  # fmt: skip
def test_a_kernel_is_offered_where_links_may_be_convolutions(kind: str, heads: str, shown: bool) -> None:
    draft = {"a": {"kind": heads, "column": "a"}}
    assert ("kernel" in list_shown(LINKS, {**LinkConfig().model_dump(), "kind": kind}, heads=draft)) == shown


def test_a_stage_of_tasks_offers_its_heads_where_there_are_several() -> None:
    head = {"kind": "classification", "column": "a"}
    stage = StageConfig().model_dump(mode="json")
    assert "heads" in list_shown(STAGE, stage, heads={"a": head, "b": head})
    assert "heads" not in list_shown(STAGE, stage, heads={"a": head})
    assert "heads" not in list_shown(STAGE, {**stage, "objective": "masked_lm"}, heads={"a": head, "b": head})
