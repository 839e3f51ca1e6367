"""Figures of the pages' reruns."""

from __future__ import annotations

import pytest

from tests.benchmarks.reruns import BAR, format_pages, summarise


def test_the_ratio_is_that_of_the_95th_percentiles() -> None:
    idle = [0.1] * 19 + [0.2]
    figures = summarise({"home": {"idle": idle, "training": [2 * value for value in idle]}})["home"]
    assert figures["ratio"] == pytest.approx(2)
    assert figures["idle_p50"] == pytest.approx(0.1)
    assert figures["idle_p50"] < figures["idle_p95"] < 0.2


@pytest.mark.parametrize(("factor", "verdict"), [(1.2, "met"), (1.4, "missed")])
def test_the_worst_page_decides(factor: float, verdict: str) -> None:
    pages = summarise({name: {"idle": [0.1] * 5, "training": [0.1 * by] * 5} for name, by in (("a", 1), ("b", factor))})
    printed = format_pages({"times": 5, "pages": pages, "bar": BAR, "machine": {"load": 1.0}})
    assert printed.splitlines()[-2].endswith(verdict)
    assert "100 ms" in printed
