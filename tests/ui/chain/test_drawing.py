"""The drawing: everything of the plan is in it, nothing of a name is ever markup."""

from __future__ import annotations

import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chain_core.config import resolve_config
from chain_core.messages import render
from chain_core.modeling.backbones.catalogue import read_facts
from chain_core.modeling.backbones.shapes import read_shapes
from chain_core.modeling.plan import compute_plan
from chain_core.ui.chain.drawing import build_drawing
from chain_core.ui.chain.marks import format_count

HEADS = {
    "intent": {"kind": "classification", "column": "x", "depths": [0, "last"]},
    "slots": {"kind": "tagging", "column": "y"},
}


def draw(language: str = "en", **sections) -> ElementTree.Element:
    config = resolve_config({"data": {"train": "t"}, "input": {"tokens": "w"}, "heads": HEADS, **sections})
    facts = read_facts("minilm-l6")
    plan = compute_plan(config, facts, read_shapes(facts.folder, 6), dict.fromkeys(config.heads or {}, 7))

    def translate(key: str, **params: object) -> str:
        return render(key, language, **params)

    text = build_drawing(config, plan, translate)
    assert "\n" not in text, "a blank line would end the block of HTML"
    return ElementTree.fromstring(text)


def list_texts(drawing: ElementTree.Element) -> list[str]:
    return ["".join(element.itertext()) for element in drawing.iter("text")]


def count(drawing: ElementTree.Element, tag: str, kind: str) -> int:
    return sum(kind in element.get("class", "").split() for element in drawing.iter(tag))


@pytest.mark.parametrize("depth", [0, 1, 3, 6, 12])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_part_is_drawn(depth: int, language: str) -> None:
    heads = {**HEADS, "intent": {**HEADS["intent"], "depths": sorted({0, depth})}}
    drawing = draw(language, chain={"depth": depth}, heads=heads)
    texts = list_texts(drawing)
    assert sum(text == "intent" for text in texts) == (1 if depth == 0 else 2)
    assert sum(text == "slots" for text in texts) == 1
    assert any("B × T × 384" in text for text in texts)
    assert sum(text == render("chain.link_attention", language) for text in texts) == min(depth, 1)
    assert sum(text == render("chain.link_conv", language) for text in texts) == max(depth - 1, 0)
    taps_and_bottom = depth + (1 if depth else 0) + (2 if depth == 0 else 1)
    assert count(drawing, "path", "cd-tap") == taps_and_bottom
    assert not [text for text in texts if text.startswith("chain.")]


def test_taps_and_tuned_layers_show() -> None:
    drawing = draw(chain={"depth": 2, "taps": [1, 6], "links": [{"strategy": "freeze"}, {}]},
                   backbone={"tuning": "lora", "layers": 2})  # fmt: skip
    assert count(drawing, "rect", "cd-read") == 2
    trained = count(drawing, "rect", "cd-trained")
    assert trained == 2 + 1 + 1 + 1, "two layers, one link, the lexical tap, the legend"


ALL_KINDS = [
    {"kind": "linear"}, {"kind": "bottleneck"}, {"kind": "attention", "density": 0.25}, {"kind": "conv"},
    {"kind": "backbone", "strategy": "freeze"}, {"kind": "backbone", "tie": "backbone"},
    {"kind": "bottleneck", "tie": 2, "detach": True},
]  # fmt: skip


@pytest.mark.parametrize("language", ["en", "zh"])
def test_what_a_link_is_shows(language: str) -> None:
    drawing = draw(language, chain={"depth": 7, "width": 384, "taps": [1, 2, 3, 4, 5, 4, 6], "links": ALL_KINDS})
    texts = list_texts(drawing)
    for kind in ("linear", "bottleneck", "attention", "conv", "backbone"):
        assert render(f"chain.link_{kind}", language) in texts
    assert f"= {render('chain.layer', language, number=4)}" in texts
    assert f"= {render('chain.tie_link', language, number=2)}" in texts
    assert count(drawing, "path", "cd-cut") == 2, "between links 6 and 7, and in the legend"
    fills = {float(box.get("width", "")) for box in drawing.iter("rect") if "cd-share" in box.get("class", "")}
    assert min(fills) == pytest.approx(0.25 * max(fills))


def test_links_that_join_later_name_their_stage() -> None:
    stages = [{"depth": 1}, {"depth": 3}, {}]
    texts = list_texts(draw(chain={"depth": 4}, stages=stages))
    assert [text for text in texts if text.startswith("+")] == ["+ Stage 2", "+ Stage 2", "+ Stage 3"]


def test_a_mixture_has_one_box_and_reads_all_its_depths() -> None:
    mixed = {**HEADS["intent"], "depths": [0, 1, 3], "mixture": True}
    drawing = draw(chain={"depth": 3}, heads={"intent": mixed})
    assert list_texts(drawing).count("intent") == 1
    assert render("chain.mixture_short", "en") in list_texts(drawing)
    curves = [path for path in drawing.iter("path") if "C" in path.get("d", "")]
    assert len(curves) == 3 + 3, "three taps, three depths"


def test_a_shared_head_says_where_its_parameters_are() -> None:
    texts = list_texts(draw(heads={"intent": {**HEADS["intent"], "depths": [1, 3], "share": True}}))
    assert sum("= depth 1" in text for text in texts) == 1


def test_a_head_of_another_data_set_says_so() -> None:
    also = {"news": {"data": {"train": "n"}, "input": {"text": "t"}}}
    heads = {**HEADS, "topic": {"kind": "classification", "column": "z", "data": "news"}}
    assert "from news" in list_texts(draw(also=also, heads=heads))


def test_all_stays_inside_the_picture() -> None:
    heads = {f"head{index}": {**HEADS["intent"], "depths": [0, 6, 12]} for index in range(6)}
    svg = draw(chain={"depth": 12}, heads=heads).find("svg")
    assert svg is not None
    _, _, width, height = map(float, svg.get("viewBox", "").split())
    for box in svg.iter("rect"):
        x, y, w, h = (float(box.get(name, "")) for name in ("x", "y", "width", "height"))
        assert 0 <= x <= x + w <= width
        assert 0 <= y <= y + h <= height


def test_boxes_of_one_column_do_not_overlap() -> None:
    heads = {f"head{index}": {**HEADS["intent"], "depths": [0, 1, 2]} for index in range(6)}
    drawing = draw(chain={"depth": 2}, heads=heads)
    tops = sorted(float(box.get("y", "")) for box in drawing.iter("rect") if box.get("class") == "cd-head")[:-1]
    assert len(tops) == 18
    assert all(after - before >= 42 for before, after in pairwise(tops))


EVIL = ["<script>alert(1)</script>", "a&b", '"quoted"', "<b>", ":material/home:", "$x$", "*bold*", "链尾"]


@pytest.mark.parametrize("name", EVIL)
def test_names_are_text(name: str) -> None:
    name = re.sub(r"[\s/@:|]", "_", name)
    drawing = draw(heads={name: HEADS["intent"]})
    assert name[:20] in "".join(list_texts(drawing))
    assert {element.tag for element in drawing.iter()} <= {
        "div", "svg", "defs", "marker", "path", "rect", "title", "text",
    }  # fmt: skip


@settings(max_examples=40)
@given(st.text(st.characters(blacklist_categories=["Cs", "Cc"]), min_size=1, max_size=40))
def test_any_backbone_name_is_text(name: str) -> None:
    assert draw(backbone={"name": name}) is not None


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (999, "999"),
        (1000, "1.00K"),
        (12345, "12.3K"),
        (999_400, "999K"),
        (999_949, "1.00M"),
        (2_500_000, "2.50M"),
        (3e9, "3.00G"),
    ],
)
def test_counts_are_short(number: float, text: str) -> None:
    assert format_count(number) == text
