"""What all pages share: navigation, language, and no dead end on an empty workspace."""

from __future__ import annotations

import re

import pytest

from chain_core.messages import LANGUAGES, load_catalogue, render
from chain_core.ui.shell import PAGES, escape_markdown
from tests.app.harness import open_page

RAW_KEY = re.compile(r"\b(chain|data|home|report|runs|predict|shell|nav|errors|notes)\.[a-z_]{3,}\b")
FIELD = re.compile(r"\{\w+(\|[^{}]*)?\}")


def list_texts(app) -> list[str]:
    kinds = ("title", "header", "subheader", "caption", "markdown", "error", "warning", "info", "success", "button")
    return [str(getattr(element, "label", None) or element.value) for kind in kinds for element in getattr(app, kind)]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("page", PAGES)
def test_every_page_opens_empty_in_both_languages(page: str, language: str) -> None:
    app = open_page(page, language)
    assert not app.exception
    assert app.title[0].value == render(f"{page}.title", language)
    texts = [text for text in list_texts(app) if "<svg" not in text]
    assert not [text for text in texts if RAW_KEY.search(text) and text in load_catalogue("en")]
    assert not [text for text in texts if FIELD.search(text)]
    assert app.button or app.get("page_link") or app.get("file_uploader"), "an empty page leads on"


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_switch_changes_the_language_and_keeps_the_page(language: str) -> None:
    other = next(name for name in LANGUAGES if name != language)
    app = open_page("chain", language)
    switch = app.sidebar.get("button_group")[0]
    switch.set_value(other).run()
    assert not app.exception
    assert app.title[0].value == render("chain.title", other)


def test_the_switch_is_one_widget_in_all_languages() -> None:
    """A click on it may come while the page is still drawn for the click before: it must not be one on nothing."""
    app = open_page("chain", "en")
    switch = app.sidebar.get("button_group")[0]
    switch.set_value("zh").run()
    assert app.sidebar.get("button_group")[0].proto.id == switch.proto.id
    assert switch.proto.required, "a second click on the same language chooses it again, not none"
    switch.set_value("en").run()
    assert app.title[0].value == render("chain.title", "en")


@pytest.mark.parametrize(
    "text", ["*a*", "`b`", "[c](d)", "# e", "<f>", ":red[g]", "$h$", "1. i", "- j", "a_b_c", "~k~"]
)
def test_escaped_text_has_no_markup_left(text: str) -> None:
    escaped = escape_markdown(text)
    assert escaped.replace("\\", "") == text
    for character in "*`[]<>$~:_":
        assert re.search(rf"(?<!\\){re.escape(character)}", escaped) is None
