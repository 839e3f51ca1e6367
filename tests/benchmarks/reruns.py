"""How long a page takes to run again in a real browser, while nothing goes on and while a run trains.

The same server, browser session and rows: the run is paused for one half of the measurements and goes on for the other,
by turns. What is timed is a reload, which runs the whole page: from the address until the heading stands and the script
has ended. The browser's own work is in it, idle and training alike.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import quantiles
from typing import Any

BAR = 1.3
"""The p95 while a run trains, at most so many times that of an idle workbench."""
ROUNDS = 3
_SECONDS = 240.0
_IS_DONE = """
title => document.querySelector('[data-testid=stApp]')?.dataset.testScriptState === 'notRunning'
  && document.querySelector('h1')?.innerText.trim() === title
"""


def measure_pages(times: int) -> dict[str, Any]:
    """Seconds of `times` reruns of each page in each of the ROUNDS, idle and while a run trains."""
    from playwright.sync_api import sync_playwright

    from tests.benchmarks.measure import describe_machine
    from tests.e2e.chromium import find_chromium
    from tests.e2e.conftest import ARGUMENTS
    from tests.e2e.server import run_workbench

    with (
        tempfile.TemporaryDirectory() as folder,
        sync_playwright() as playwright,
        run_workbench(Path(folder)) as workbench,
    ):
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=ARGUMENTS)
        page = browser.new_context(locale="en-US", viewport={"width": 1400, "height": 1000}).new_page()
        page.set_default_timeout(_SECONDS * 1000)
        with _train(page, workbench) as (run_id, pause, resume):
            seconds = _measure_by_turns(page, workbench.url, run_id, times, pause, resume)
        browser.close()
    return {"times": times, "pages": summarise(seconds), "bar": BAR, "machine": describe_machine()}


@contextmanager
def _train(page: Any, workbench: Any) -> Iterator[tuple[str, Callable[[], None], Callable[[], None]]]:
    """A long run of the tiny sample that trains, beside a finished one: its id, and what pauses and resumes it."""
    from chain_core.config import load_yaml, merge, resolve_config
    from chain_core.services.store.store import Store

    page.goto(workbench.url)
    page.locator('[class*="st-key-door_tiny"] button').first.click()
    page.locator("h1", has_text="Chain").wait_for()
    page.locator(".chain-drawing svg").first.wait_for()
    draft = load_yaml((workbench.home / "draft.yaml").read_text(encoding="utf-8"))
    os.environ["CHAIN_HOME"] = str(workbench.home)
    store = Store()

    def wait(run_id: str, is_there: Callable[[Any], bool]) -> None:
        end = time.monotonic() + _SECONDS
        while not is_there(store.get_run(run_id)):
            if time.monotonic() > end:
                raise TimeoutError(f"the run is {store.get_run(run_id).state}")
            time.sleep(0.1)

    short = store.add_run(resolve_config(merge(draft, {"name": "short", "train": {"epochs": 2}})), workbench.home)
    wait(short, lambda run: run.state == "finished")
    long = store.add_run(resolve_config(merge(draft, {"name": "long", "train": {"epochs": 10_000}})), workbench.home)
    wait(long, _trains)

    def pause() -> None:
        store.request_pause(long)
        wait(long, lambda run: run.state == "paused")

    def resume() -> None:
        store.request_resume(long)
        before = store.get_run(long).progress.get("epoch") or 0
        wait(long, lambda run: _trains(run) and (run.progress.get("epoch") or 0) > before)

    try:
        yield long, pause, resume
    finally:
        store.request_cancel(long)
        wait(long, lambda run: run.state == "cancelled")
        store.close()


def _trains(run: Any) -> bool:
    return run.state == "running" and run.progress.get("phase") == "training" and bool(run.progress.get("epoch"))


def _measure_by_turns(
    page: Any, url: str, run_id: str, times: int, pause: Callable[[], None], resume: Callable[[], None]
) -> dict[str, dict[str, list[float]]]:
    from chain_core.ui.shell import PAGES

    seconds: dict[str, dict[str, list[float]]] = {name: {"idle": [], "training": []} for name in PAGES}
    for number in range(ROUNDS):
        for state in ("idle", "training") if number % 2 == 0 else ("training", "idle"):
            pause() if state == "idle" else resume() if not _is_going(run_id) else None
            for name in PAGES:
                path = {"home": "/", "runs": f"/runs?run={run_id}"}.get(name, f"/{name}")
                seconds[name][state] += time_reruns(page, url + path, name, times)
    return seconds


def _is_going(run_id: str) -> bool:
    from chain_core.services.store.store import Store

    store = Store()
    try:
        return store.get_run(run_id).state == "running"
    finally:
        store.close()


def time_reruns(page: Any, address: str, name: str, times: int) -> list[float]:
    """Seconds of each of `times` reloads of one page."""
    from chain_core.messages import render

    seconds = []
    for number in range(times + 1):
        before = time.perf_counter()
        page.goto(address, wait_until="commit")
        page.wait_for_function(_IS_DONE, arg=render(f"{name}.title", "en"))
        if number:  # the first one fills caches
            seconds.append(time.perf_counter() - before)
        page.wait_for_timeout(150)
    return seconds


def summarise(seconds: dict[str, dict[str, list[float]]]) -> dict[str, dict[str, float]]:
    """Page -> p50 and p95 of each state in seconds, and how many times the idle p95 the other is."""
    summary = {}
    for name, states in seconds.items():
        figures = {}
        for state, values in states.items():
            cuts = quantiles(values, n=20, method="inclusive")
            figures[f"{state}_p50"], figures[f"{state}_p95"] = cuts[9], cuts[18]
        summary[name] = {**figures, "ratio": figures["training_p95"] / figures["idle_p95"]}
    return summary


def format_pages(measured: dict[str, Any]) -> str:
    """What is printed."""
    lines = [f"{'page':<10}{'idle p50':>10}{'p95':>8}{'training p50':>15}{'p95':>8}{'ratio':>8}"]
    for name, figures in measured["pages"].items():
        cells = [f"{1000 * figures[key]:.0f} ms" for key in ("idle_p50", "idle_p95", "training_p50", "training_p95")]
        lines.append(f"{name:<10}{cells[0]:>10}{cells[1]:>8}{cells[2]:>15}{cells[3]:>8}{figures['ratio']:>8.2f}")
    worst = max(figures["ratio"] for figures in measured["pages"].values())
    verdict = "met" if worst <= measured["bar"] else "missed"
    lines.append(f"worst ratio {worst:.2f}, at most {measured['bar']} wanted: {verdict}")
    lines.append(f"{measured['times']} reruns a page and round, {ROUNDS} rounds; load {measured['machine']['load']}")
    return "\n".join(lines)
