"""A run under control in a real browser: paused, resumed, stopped, watched, deleted and brought back."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest

from chain_core.config import load_yaml, merge, resolve_config
from chain_core.messages import render
from chain_core.services.store.store import Store
from tests.e2e.conftest import Screen
from tests.e2e.server import Workbench
from tests.services.waiting import wait_for

pytestmark = pytest.mark.browser
LONG = 240_000


@pytest.fixture
def store(workbench: Workbench, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("CHAIN_HOME", str(workbench.home))
    return Store()


@pytest.fixture
def long_run(screen: Screen, store: Store, workbench: Workbench) -> str:
    """The id of a run that trains until it is stopped."""
    screen.open("/")
    screen.click("door_tiny")
    screen.page.locator(".chain-drawing svg").first.wait_for()
    draft = load_yaml((workbench.home / "draft.yaml").read_text(encoding="utf-8"))
    config = resolve_config(merge(draft, {"name": "long", "train": {"epochs": 5000}}))
    run_id = store.add_run(config, workbench.home)
    wait_for(lambda: store.get_run(run_id).progress.get("epoch"), 240)
    return run_id


def test_a_run_is_paused_resumed_and_stopped(
    screen: Screen, open_screen: Callable[..., Screen], store: Store, long_run: str
) -> None:
    elsewhere = open_screen(locale="zh-CN")
    elsewhere.open("/cache")
    screen.open(f"/runs?run={long_run}")
    screen.find("run_pause").locator("button").first.click()
    heard = screen.find("run_heard").locator("button, [data-testid=stMarkdown]").or_(screen.find("run_resume")).first
    heard.wait_for(timeout=5000)
    screen.wait_for_text("paused")
    assert store.get_run(long_run).state == "paused"
    step = store.read_events(long_run, kinds=("checkpoint",))[-1]["step"]
    screen.click("run_resume")
    screen.find("run_stop").wait_for(timeout=LONG)
    wait_for(lambda: (events := store.read_events(long_run, kinds=("step",), last=1)) and events[0]["step"] > step, 240)
    screen.click("run_stop")
    screen.find("run_report").wait_for(timeout=LONG)
    told = elsewhere.page.locator("[data-testid=stToast]").first
    told.wait_for()
    assert render("notices.stopped", "zh", run="long") in told.inner_text()


def test_live_curves_move_without_being_built_anew(screen: Screen, store: Store, long_run: str, tiny_run: str) -> None:
    try:
        screen.open(f"/runs?run={long_run}&with={tiny_run}")
        screen.page.get_by_text("Curves", exact=True).first.click()
        chart = screen.page.locator("[data-testid=stVegaLiteChart]").first
        chart.wait_for()
        screen.page.wait_for_timeout(2500)
        canvas = chart.locator("canvas, svg").first
        canvas.evaluate("node => { node.dataset.mark = 'mine'; }")
        before = canvas.evaluate("node => node.toDataURL ? node.toDataURL() : node.outerHTML")
        screen.page.wait_for_function(
            "([mark, before]) => { const n = document.querySelector(`[data-mark=${mark}]`);"
            " return n && (n.toDataURL ? n.toDataURL() : n.outerHTML) !== before; }",
            arg=["mine", before],
        )
        screen.page.wait_for_timeout(3000)
        assert chart.locator("[data-mark=mine]").count() == 1, "the same node after several ticks"
    finally:
        store.request_cancel(long_run)
        wait_for(lambda: store.get_run(long_run).state == "cancelled", 120)


def click_row(screen: Screen, row: int, x: int, wanted: str) -> None:
    """Click into the list until the address says `wanted`: its canvas may not be drawn yet."""
    table = screen.page.locator("[data-testid=stDataFrame]").first
    for _ in range(5):
        screen.page.wait_for_timeout(1500)
        table.click(position={"x": x, "y": 36 + 35 * row + 17})
        with suppress(AssertionError):
            wait_for(lambda: (screen.page.wait_for_timeout(100), wanted in screen.page.url)[1], 4)
            return
    assert wanted in screen.page.url


def test_a_click_opens_a_run_and_a_tick_draws_it_along(screen: Screen, tiny_run: str, store: Store) -> None:
    other = store.add_run(store.get_run(tiny_run).load_config())
    store.request_cancel(other)
    screen.open(f"/runs?run={tiny_run}")
    click_row(screen, 0, 200, f"run={other}")
    row = [run.id for run in store.list_runs()].index(tiny_run)
    click_row(screen, row, 18, f"with={tiny_run}")
    screen.find("runs_series").wait_for()


def test_a_deleted_run_is_brought_back(screen: Screen, store: Store, tiny_run: str) -> None:
    copy = store.add_run(store.get_run(tiny_run).load_config())
    store.request_cancel(copy)
    screen.open(f"/runs?run={copy}")
    screen.find("run_more").locator("button").first.click()
    screen.find(f"run_delete_{copy}").locator("button").first.click()
    undo = screen.find(f"run_undo_{copy}")
    undo.wait_for()
    assert store.get_run(copy).deleted is not None
    undo.locator("button").first.click()
    wait_for(lambda: store.get_run(copy).deleted is None, 20)
