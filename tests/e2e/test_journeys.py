"""From a table in the browser to answers, end to end, as a person would go."""

from __future__ import annotations

import csv
import io
import json
import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.conftest import Screen, Workbench

pytestmark = pytest.mark.browser
TRAIN_MILLISECONDS = 240_000


def train(screen: Screen) -> str:
    """Click Train, see curves while it runs, wait for its end; the run's id."""
    screen.page.locator(".chain-drawing svg").first.wait_for()
    screen.click("chain_train")
    run_id = screen.read_run_id()
    screen.page.locator("[data-testid=stVegaLiteChart]").first.wait_for()
    screen.find("run_report").wait_for(timeout=TRAIN_MILLISECONDS)
    return run_id


def read_report(workbench: Workbench, run_id: str) -> dict:
    return json.loads((workbench.home / "runs" / run_id / "report.json").read_text(encoding="utf-8"))


def look_at_report(screen: Screen, heads: list[str]) -> None:
    screen.click("run_report")
    screen.page.locator("h1", has_text="Report").wait_for()
    for head in heads:
        screen.page.get_by_role("tab", name=re.compile(rf"^{head}")).first.wait_for()
    screen.page.locator("[data-testid=stPlotlyChart]").first.wait_for()
    screen.page.locator("[data-testid=stDataFrame]").first.wait_for()
    screen.check()


def ask(screen: Screen, text: str) -> None:
    screen.go("Predict")
    box = screen.find("predict_texts").locator("textarea")
    box.fill(text)
    box.press("Control+Enter")
    screen.page.get_by_role("button", name=re.compile("Predict|Ask")).last.click()


def test_a_sample_is_one_click_from_training(screen: Screen, workbench: Workbench) -> None:
    screen.open("/")
    screen.click("door_tiny")
    run_id = train(screen)
    report = read_report(workbench, run_id)
    heads = [name for name in report["validation"] if name != "joint"]
    assert len(heads) >= 2
    look_at_report(screen, heads)
    ask(screen, "the coffee was cold and the waiter was rude")
    screen.page.locator("[data-testid=stDataFrame], [data-testid=stTable], table").first.wait_for()
    for head in heads:
        screen.wait_for_text(re.compile(head))


def test_a_reload_and_a_second_tab_show_the_same_run(open_screen: Callable[..., Screen], tiny_run: str) -> None:
    screens = [open_screen(), open_screen()]
    for screen in screens:
        screen.open(f"/runs?run={tiny_run}")
        screen.page.locator("[data-testid=stVegaLiteChart]").first.wait_for()
    assert screens[0].page.locator("h3").first.inner_text() == screens[1].page.locator("h3").first.inner_text()
    screens[0].page.reload()
    screens[0].find("run_report").wait_for()
    assert screens[0].read_run_id() == tiny_run


def write_table(path: Path) -> None:
    words = {
        "billing": ["invoice", "refund", "charge", "payment"],
        "delivery": ["parcel", "courier", "late", "address"],
    }
    dice = random.Random(0)
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(["message", "topic", "mood"])
    for index in range(160):
        topic = sorted(words)[index % 2]
        mood = ["angry", "calm"][dice.random() < 0.5]
        opening = "this is awful" if mood == "angry" else "hello there, thanks"
        writer.writerow([f"{opening}: <b>{dice.choice(words[topic])}</b> number {dice.randrange(999)}", topic, mood])
    path.write_text(buffer.getvalue(), encoding="utf-8")


def test_an_uploaded_table_goes_all_the_way(screen: Screen, workbench: Workbench, tmp_path: Path) -> None:
    table = tmp_path / "messages.csv"
    write_table(table)
    screen.open("/data")
    screen.page.locator("input[type=file]").first.set_input_files(str(table))
    screen.wait_for_text("messages")
    screen.page.locator("[data-testid=stPlotlyChart]").first.wait_for()
    screen.click("data_next")
    screen.page.locator("h1", has_text="Chain").wait_for()
    screen.find("chain_head_topic").wait_for()
    screen.find("chain_head_mood").wait_for()
    run_id = train(screen)
    report = read_report(workbench, run_id)
    assert report["validation"]["topic"]["accuracy"] >= 0.9
    look_at_report(screen, ["topic", "mood"])
    ask(screen, "hello there, thanks: parcel number 7")
    screen.wait_for_text("delivery")
    assert screen.page.locator("b", has_text="invoice").count() == 0, "a cell's HTML is shown as text"


def test_the_yaml_of_the_screen_trains_on_the_command_line(screen: Screen, workbench: Workbench) -> None:
    import os
    import subprocess
    import sys

    screen.open("/")
    screen.click("door_tiny")
    screen.find("chain_yaml").locator("summary").click()
    screen.settle()  # a click while the page is drawn anew is lost
    with screen.page.expect_download() as download:
        screen.find("chain_yaml").get_by_role("button", name="Download").first.click()
    path = workbench.home / "downloaded.yaml"
    download.value.save_as(path)
    run_id = train(screen)
    out = workbench.home / "by_hand"
    command = [sys.executable, "-m", "chain_core", "train", str(path), "--out", str(out)]
    environment = {**os.environ, "CHAIN_HOME": str(workbench.home)}
    finished = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    by_hand = json.loads((out / "report.json").read_text(encoding="utf-8"))
    by_browser = read_report(workbench, run_id)
    for split in ("validation", "test", "depths"):
        assert by_hand.get(split) == by_browser.get(split), "same file, same seed, same numbers"
