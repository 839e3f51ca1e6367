"""Every page in both languages and themes, wide and narrow: no traceback, no complaint, nothing that overflows."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from chain_core.messages import render
from chain_core.ui.shell import PAGES
from tests.e2e.conftest import Screen

pytestmark = pytest.mark.browser
LOCALES = {"en": "en-US", "zh": "zh-CN"}


@pytest.mark.parametrize("language", LOCALES)
def test_every_page_stands_at_its_own_address(open_screen: Callable[..., Screen], language: str) -> None:
    screen = open_screen(locale=LOCALES[language], color_scheme="dark" if language == "zh" else "light")
    for page in PAGES:
        screen.open("/" if page == "home" else f"/{page}")
        assert screen.page.locator("h1").inner_text() == render(f"{page}.title", language)
        links = screen.page.locator("[data-testid=stSidebarNav] a")
        assert links.count() == len(PAGES), "the navigation is the router's"
        assert render("nav.report", language) in links.all_inner_texts()[PAGES.index("report")]
        screen.check()


def measure_overflow(screen: Screen) -> int:
    """Pixels by which the page is wider than its screen."""
    return screen.page.evaluate(
        "(() => { const main = document.querySelector('[data-testid=stMain]'), root = document.documentElement;"
        " return Math.max(main.scrollWidth - main.clientWidth, root.scrollWidth - root.clientWidth); })()"
    )


@pytest.mark.parametrize("page", PAGES)
def test_a_narrow_screen_needs_no_sideways_scrolling(open_screen: Callable[..., Screen], page: str) -> None:
    screen = open_screen(width=420, height=900)
    screen.open("/" if page == "home" else f"/{page}")
    assert measure_overflow(screen) <= 1


@pytest.mark.parametrize("page", ["chain", "runs", "report", "predict"])
def test_a_finished_run_fits_a_narrow_screen_too(open_screen: Callable[..., Screen], tiny_run: str, page: str) -> None:
    screen = open_screen(width=420, height=900, locale="zh-CN", color_scheme="dark")
    screen.open(f"/{page}?run={tiny_run}")
    screen.page.wait_for_timeout(1500)
    assert measure_overflow(screen) <= 1
    screen.check()


def test_the_language_switch_keeps_the_page_and_lasts(screen: Screen) -> None:
    screen.open("/runs")
    screen.page.get_by_text("中文", exact=True).first.dblclick()  # the second click chooses it again, not none
    screen.page.locator("h1", has_text=render("runs.title", "zh")).wait_for()
    screen.go(render("nav.chain", "zh"))
    screen.page.locator("h1", has_text=render("chain.title", "zh")).wait_for()
    screen.page.get_by_text("English", exact=True).first.click()
    screen.page.locator("h1", has_text=re.compile("^Chain$")).wait_for()


def test_the_browsers_language_decides_at_first(open_screen: Callable[..., Screen]) -> None:
    screen = open_screen(locale="zh-TW")
    screen.open("/")
    assert screen.page.locator("h1").inner_text() == render("home.title", "zh")


def test_the_drawing_follows_the_depth(screen: Screen) -> None:
    screen.open("/")
    screen.click("door_tiny")
    drawing = screen.page.locator(".chain-drawing svg")
    drawing.first.wait_for()
    slider = screen.find("chain-chain-depth").get_by_role("slider")
    slider.focus()
    before = int(re.findall(r"\d+", drawing.first.get_attribute("aria-label") or "")[0])
    slider.press("ArrowRight")
    label = render("chain.drawing_label", "en", depth=before + 1)
    screen.page.locator(f'.chain-drawing svg[aria-label="{label}"]').wait_for()
    screen.page.reload()
    screen.page.locator(f'.chain-drawing svg[aria-label="{label}"]').wait_for()
