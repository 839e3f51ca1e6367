"""The Report page in both languages, on a predictions file with a head of each kind."""

from __future__ import annotations

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from chain_core.messages import LANGUAGES, render
from chain_core.reports.examples import compute_examples, filter_examples
from chain_core.reports.metrics import compute_report
from chain_core.reports.predictions import save_predictions
from chain_core.services.store.store import Store
from tests.app.harness import open_page
from tests.reports.make import make_predictions
from tests.services.seed import RICH_NAME, add_done, add_run

PREDICTIONS = {"test": make_predictions(120), "validation": make_predictions(30, split="validation", seed=1)}


@pytest.fixture
def store(home: Path) -> Store:
    return Store()


def add_report(store: Store, name: str = RICH_NAME, splits: tuple[str, ...] = ("test", "validation")) -> str:
    run_id = add_done(store, name)
    path = store.get_run(run_id).path
    for file in (path / "predictions").glob("*"):
        file.unlink()
    for split in splits:
        save_predictions(PREDICTIONS[split], path / "predictions" / f"{split}.parquet")
    return run_id


def open_report(run_id: str | None = None, language: str = "en") -> AppTest:
    return open_page("report", language, run=run_id)


def open_tab(page: AppTest, run_id: str, number: int, split: str = "test") -> AppTest:
    page.session_state[f"report_{run_id}_{split}_heads"] = page.tabs[number].label
    page.run()
    assert not page.exception
    return page


def find(page: AppTest, kind: str, key: str):
    """The widget whose key ends so."""
    return next(widget for widget in getattr(page, kind) if (widget.key or "").endswith(key))


def get_table(page: AppTest):
    """The predictions side by side: the last table of the page."""
    return page.dataframe[-1].value


@pytest.mark.parametrize("language", LANGUAGES)
def test_without_a_report_the_page_leads_on(store: Store, language: str) -> None:
    add_run(store, "waiting")
    page = open_report(language=language)
    assert page.markdown[-1].value == render("report.start.empty", language)
    assert page.button[0].label == render("report.start.empty_action", language)


def test_with_a_draft_it_leads_to_the_chain(store: Store, home: Path) -> None:
    (home / "draft.yaml").write_text("name: begun\n")
    assert open_report().button[0].label == render("report.empty_action", "en")


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_tab_stands_in_every_language(store: Store, language: str) -> None:
    run_id = add_report(store)
    page = open_report(run_id, language)
    figures = compute_report(PREDICTIONS)["test"]
    shown = [metric.value for metric in page.metric]
    assert shown == [f"{next(iter(figures[head].values())):.3f}" for head in (*PREDICTIONS["test"].heads, "joint")]
    for number, (head, info) in enumerate(PREDICTIONS["test"].heads.items()):
        open_tab(page, run_id, number)
        depths = page.dataframe[0].value
        assert list(depths.iloc[:, 0]) == [str(depth) for depth in info.depths]
        assert float(depths.iloc[-1, 1]) == pytest.approx(next(iter(figures[head].values())), abs=6e-4)
        said = " ".join(element.value for element in (*page.markdown, *page.caption, *page.subheader))
        assert "report." not in said
        assert not page.error


def test_classes_stand_with_scikit_learns_figures(store: Store) -> None:
    page = open_tab(open_report(run_id := add_report(store)), run_id, 3)
    titles = [element.value for element in page.markdown]
    assert titles.count("**Entities**") == titles.count("**Tokens, O counted**") == 2
    entities, tokens = (frame.value.set_index("Class") for frame in page.dataframe[1:3])
    assert "micro average" in entities.index
    assert "O" not in entities.index
    assert {"O", "B-city", "accuracy"} <= set(tokens.index)


def test_the_split_can_be_changed(store: Store) -> None:
    run_id = add_report(store)
    page = open_report(run_id)
    page.segmented_control(key=f"report_split_{run_id}").set_value("validation").run()
    assert not page.exception
    assert "30 rows" in [caption.value for caption in page.caption]
    assert len(get_table(page)) == 30


def test_pages_and_filters(store: Store) -> None:
    page = open_report(add_report(store, splits=("test",)))
    predictions = PREDICTIONS["test"]
    examples = compute_examples(predictions)
    assert len(get_table(page)) == 50
    find(page, "number_input", page.number_input[0].key).set_value(3).run()
    assert get_table(page)["row"].tolist() == list(range(100, 120))
    page.main.segmented_control[-1].set_value("wrong").run()
    wrong = filter_examples(examples, predictions, show="wrong")["row"].tolist()
    assert get_table(page)["row"].tolist() == wrong[:50]
    page.text_input[0].set_value("<script>").run()
    assert get_table(page)["row"].tolist() == [row for row in wrong if row % 8 == 0]
    find(page, "multiselect", "looked_at").set_value(["intent"]).run()
    assert [name for name in get_table(page) if name.startswith("gold")] == ["gold:intent"]
    find(page, "selectbox", "_label").select(("intent", "<b>ask</b>")).run()
    expected = filter_examples(
        examples, predictions, heads=["intent"], show="wrong", label=("intent", "<b>ask</b>"), text="<script>"
    )
    assert get_table(page)["row"].tolist() == expected["row"].tolist()
    assert not page.exception


def test_filters_that_leave_nothing_can_be_undone(store: Store) -> None:
    page = open_report(add_report(store))
    page.text_input[0].set_value("no such text").run()
    assert page.info[-1].value == render("report.no_rows", "en")
    find(page, "button", "_clear").click().run()
    assert len(get_table(page)) == 50


def test_the_least_confident_come_first(store: Store) -> None:
    page = open_report(add_report(store))
    find(page, "selectbox", "_order").select("unsure").run()
    examples = compute_examples(PREDICTIONS["test"])
    sure = [f"conf:{head}@3" for head in ("intent", "topics", "slots", "answer", "link")]
    least = examples[sure].min(axis=1)
    assert get_table(page)["row"].iloc[0] == least.idxmin()


def test_nothing_of_the_users_is_interpreted(store: Store) -> None:
    page = open_report(add_report(store))
    bodies = "".join(element.proto.body for element in page.get("html"))
    assert "&lt;script&gt;alert(" in bodies
    assert "<script" not in bodies
    assert "<b>ask" not in "".join(element.value for element in page.markdown)


def test_another_run_in_the_address(store: Store) -> None:
    first, second = add_report(store, "one"), add_report(store, "two")
    assert open_report(first).selectbox[0].value == first
    assert open_report().selectbox[0].value == second
    page = open_report("gone")
    assert page.error[0].value.startswith("Run “gone” has no report")
    assert page.selectbox[0].value == second
    page.selectbox[0].select(first).run()
    assert page.query_params["run"] == first
    assert page.selectbox[0].value == first
    assert not page.error


def test_a_damaged_file_is_a_sentence(store: Store) -> None:
    run_id = add_report(store, splits=("test",))
    (store.get_run(run_id).path / "predictions" / "test.parquet").write_bytes(b"damaged")
    page = open_report(run_id)
    assert "cannot be read" in page.error[0].value


def test_downloads_wait_for_their_click(store: Store) -> None:
    page = open_report(add_report(store))
    labels = [button.label for button in page.get("download_button")]
    assert labels == [render(f"report.download_{kind}", "en") for kind in ("csv", "parquet", "html")]
