"""The real workbench on a port of its own, and a real Chromium that looks at it.

Every page that a test opens is watched: a traceback on the screen, an error in the browser's console or in the server's
log fails the test that saw it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.chromium import ADVICE, find_chromium
from tests.e2e.server import Workbench, run_workbench

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

MILLISECONDS = 60_000
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking",
    "--disable-component-update", "--no-first-run",
]  # fmt: skip
HARMLESS = re.compile(
    # On a deep link Streamlit's page first looks for its server below the page's own path.
    r"_stcore/(health|host-config)|status of 404|favicon"
    # A page that is left takes its requests with it.
    r"|net::ERR_ABORTED|ERR_NAME_NOT_RESOLVED|ERR_INTERNET_DISCONNECTED"
    # A download button looks whether its file is there; a rerun in that moment gives it another one.
    r"|Download Button source error"
)


@dataclass
class Screen:
    """A browser's tab on the workbench."""

    page: Page
    workbench: Workbench
    complaints: list[str] = field(default_factory=list)

    def open(self, path: str = "/") -> None:
        """A page by its address, once its heading stands."""
        self.page.goto(self.workbench.url + path)
        self.page.locator("h1").wait_for()
        self.settle()

    def settle(self) -> None:
        """Wait until the script has run; pages that poll count as settled between two polls."""
        self.page.wait_for_function(
            "document.querySelector('[data-testid=stApp]')?.dataset.testScriptState !== 'running'"
        )

    def find(self, key: str) -> Locator:
        """What stands under a widget's or container's key."""
        return self.page.locator(f'[class*="st-key-{key}"]').first

    def click(self, key: str) -> None:
        """A button by its key."""
        self.find(key).locator("button").first.click()
        self.settle()

    def go(self, name: str) -> None:
        """Another page, through the navigation."""
        self.page.locator("[data-testid=stSidebarNav] a", has_text=re.compile(name)).click()
        self.page.locator("h1", has_text=re.compile(".")).wait_for()
        self.settle()

    def wait_for_text(self, text: str | re.Pattern[str]) -> Locator:
        found = self.page.get_by_text(text).filter(visible=True).first
        found.wait_for()
        return found

    def wait_for_value(self, key: str, value: str) -> None:
        """A text input by its key; one that is new on the page stands empty for a frame before it shows its default."""
        from playwright.sync_api import expect

        expect(self.find(key).locator("input")).to_have_value(value, timeout=MILLISECONDS)

    def read_run_id(self) -> str:
        self.page.wait_for_url(re.compile(r"[?&]run="))
        match = re.search(r"[?&]run=([^&]+)", self.page.url)
        assert match
        return match[1]

    def check(self) -> None:
        """Nothing on this screen is a traceback."""
        assert self.page.locator("[data-testid=stException]").count() == 0, self.workbench.read_log()[-4000:]
        assert self.complaints == []


@pytest.fixture(scope="session")
def workbench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workbench]:
    """One server for all browser tests, its workspace its own."""
    with run_workbench(tmp_path_factory.mktemp("workbench")) as found:
        yield found


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = find_chromium()
    if path is None:
        pytest.fail(ADVICE)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield chromium
        chromium.close()


def _build_screen(
    browser: Browser,
    workbench: Workbench,
    *,
    locale: str = "en-US",
    width: int = 1400,
    height: int = 1000,
    **options: Any,
) -> Screen:
    context = browser.new_context(
        locale=locale, viewport={"width": width, "height": height}, accept_downloads=True, **options
    )
    context.set_default_timeout(MILLISECONDS)
    screen = Screen(context.new_page(), workbench)
    screen.page.on("console", lambda message: _note(screen, message))
    screen.page.on("pageerror", lambda error: screen.complaints.append(f"page error: {error}"))
    return screen


@pytest.fixture
def open_screen(workbench: Workbench, browser: Browser) -> Iterator[Callable[..., Screen]]:
    """`open_screen(locale="zh-CN", color_scheme="dark", width=420)`: a fresh browser session."""
    screens: list[Screen] = []
    before = len(workbench.read_log())

    def open_one(**options: Any) -> Screen:
        screens.append(_build_screen(browser, workbench, **options))
        return screens[-1]

    yield open_one
    for screen in screens:
        screen.check()
        screen.page.context.close()
    assert "Traceback" not in workbench.read_log()[before:], workbench.read_log()[-6000:]


def _note(screen: Screen, message: Any) -> None:
    where = f"{message.text} {message.location}"
    if message.type == "error" and not HARMLESS.search(where):
        screen.complaints.append(where)


@pytest.fixture
def screen(open_screen: Callable[..., Screen]) -> Screen:
    """An English session on a wide screen."""
    return open_screen()


@pytest.fixture(scope="session")
def tiny_run(workbench: Workbench, browser: Browser) -> str:
    """The id of a finished run of the tiny sample."""
    screen = _build_screen(browser, workbench)
    screen.open("/")
    screen.click("door_tiny")
    screen.click("chain_train")
    run_id = screen.read_run_id()
    screen.find("run_report").wait_for(timeout=240_000)
    screen.page.context.close()
    return run_id
