"""A sweep in a real browser: made, followed to its end, its best run taken up."""

from __future__ import annotations

import re

import pytest

from chain_core.config import load_yaml
from tests.e2e.conftest import Screen, Workbench
from tests.e2e.test_journeys import TRAIN_MILLISECONDS

pytestmark = pytest.mark.browser


def test_a_sweep_from_the_draft_to_the_next_draft(screen: Screen, workbench: Workbench) -> None:
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
    assert screen.page.get_by_text("Pareto front").count() >= 2
    screen.page.reload()
    screen.page.get_by_text("2 of 2 done").wait_for()
    screen.click("sweep_use_best")
    screen.page.locator("h1", has_text=re.compile("^Chain$")).wait_for()
    draft = load_yaml((workbench.home / "draft.yaml").read_text(encoding="utf-8"))
    assert draft["chain"]["depth"] in (0, 1)
    assert draft["name"] == "tiny"
