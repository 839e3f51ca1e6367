"""A sweep in a real browser: made, followed to its end, its best run taken up; deleted and brought back."""

from __future__ import annotations

import re

import pytest

from chain_core.config import load_yaml
from chain_core.services.store.store import Store
from tests.e2e.conftest import Screen, Workbench
from tests.e2e.test_journeys import TRAIN_MILLISECONDS

pytestmark = pytest.mark.browser


def test_a_sweep_from_the_draft_to_the_next_draft(
    screen: Screen, workbench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHAIN_HOME", str(workbench.home))
    screen.open("/")
    screen.click("door_tiny")
    screen.find("chain_train").wait_for()
    screen.go("Sweeps")
    screen.wait_for_text("7 runs")
    values = screen.find("sweep_values-chain-depth").locator("input")
    for _ in range(5):
        values.press("Backspace")
    screen.wait_for_text("2 runs")
    screen.click("sweep_start")
    screen.page.wait_for_url(re.compile("sweep="))
    screen.wait_for_text(re.compile("[01] of 2 done"))
    screen.page.get_by_text("2 of 2 done").wait_for(timeout=TRAIN_MILLISECONDS)
    screen.page.locator("[data-testid=stPlotlyChart]").nth(2).wait_for()
    screen.page.get_by_text("Pareto front").nth(1).wait_for()
    screen.page.reload()
    screen.page.get_by_text("2 of 2 done").wait_for()
    screen.click("sweep_use_best")
    screen.page.locator("h1", has_text=re.compile("^Chain$")).wait_for()
    draft = load_yaml((workbench.home / "draft.yaml").read_text(encoding="utf-8"))
    assert draft["chain"]["depth"] in (0, 1)
    assert draft["name"] == "tiny"
    screen.go("Sweeps")
    delete_and_bring_back(screen, Store())


def delete_and_bring_back(screen: Screen, store: Store) -> None:
    """The newest sweep, which the page has chosen by itself, and its two runs."""
    sweep = store.list_groups()[0].id
    runs = {run.id for run in store.list_runs(group_id=sweep)}
    assert len(runs) == 2
    screen.find(f"sweep_more_{sweep}").locator("button").first.click()
    # Also in a popover that was shut while the page ran again.
    screen.wait_for_value(f"sweep_name_{sweep}", store.list_groups()[0].name)
    screen.find(f"sweep_delete_{sweep}").locator("button").first.click()
    undo = screen.find(f"sweep_undo_{sweep}")
    screen.wait_for_text(re.compile("is deleted, with 2 runs"))
    assert sweep not in screen.page.url
    assert not runs & {run.id for run in store.list_runs()}
    undo.locator("button").first.click()
    screen.page.wait_for_url(re.compile(f"sweep={sweep}"))
    undo.wait_for(state="detached")
    screen.wait_for_text("2 of 2 done")
    assert runs <= {run.id for run in store.list_runs()}
    assert store.list_groups()[0].id == sweep
