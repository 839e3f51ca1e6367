"""One page of examples: what its cells say, which are coloured, and what becomes of markup in them."""

from __future__ import annotations

import pytest

from chain_core.reports.examples import compute_examples
from chain_core.reports.wording import build_say
from chain_core.ui.report.table import WRONG, build_table, name_columns, render_tags, style_table
from tests.reports.make import make_predictions

SAY = build_say("en")


@pytest.fixture(scope="module")
def predictions():
    return make_predictions(40)


@pytest.fixture(scope="module")
def page(predictions):
    return compute_examples(predictions).iloc[8:28]


def test_cells_hold_answers_with_their_confidence(predictions, page):
    table = build_table(page, predictions, ["intent", "price"])
    assert list(table) == [
        "row", "text", "gold:intent", "pred:intent@0", "pred:intent@3", "gold:price", "pred:price@0", "pred:price@3"
    ]  # fmt: skip
    first = page.iloc[0]
    assert table.iloc[0]["pred:intent@3"] == f"{first['pred:intent@3']} · {first['conf:intent@3']:.0%}"
    residual = first["residual:price@3"]
    assert table.iloc[0]["pred:price@3"].endswith(f"({'+' if residual >= 0 else '−'}{abs(residual):.3g})")


def test_wrong_cells_and_no_others_are_coloured(predictions, page):
    table = build_table(page, predictions, list(predictions.heads))
    styler = style_table(table, page)
    styler._compute()
    for i, (_, example) in enumerate(page.iterrows()):
        for j, name in enumerate(table.columns):
            colours = any("background" in style for style, _ in styler.ctx.get((i, j), []))
            wrong = name.startswith("pred:") and example[f"wrong:{name.removeprefix('pred:')}"]
            assert colours == wrong
    assert WRONG in styler.to_html()


def test_headings_tell_depths_apart(predictions, page):
    names = name_columns(build_table(page, predictions, list(predictions.heads)), predictions, SAY)
    assert names["pred:intent@0"] == "intent @0"
    assert names["pred:topics@3"] == "topics · Predicted"
    assert names["gold:slots"] == "slots · Gold"
    assert len(set(names.values())) == len(names)


def test_tags_show_gold_and_each_depth_escaped(predictions, page):
    rendered = render_tags(page, predictions, "slots", SAY)
    assert rendered.count('class="report-row"') == len(page)
    missing = sum(cell is None for cell in page["gold:slots"])
    assert rendered.count(">Gold<") == len(page) - missing
    assert rendered.count(">Depth 1<") == len(page)
    assert "&lt;script&gt;" in rendered
    assert "<script" not in rendered
