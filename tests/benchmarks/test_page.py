"""The page and the command line."""

from __future__ import annotations

import json
import re

import pytest

from tests.benchmarks.cli import main
from tests.benchmarks.contenders import EXPERIMENTS, build_jobs
from tests.benchmarks.make import make_experiment, make_result
from tests.benchmarks.page import render_page
from tests.benchmarks.rows import DataAbsent, read_rows

RATE = {
    "name": "fast", "data": "atis", "rows": 10, "steps": 2, "precision": "bfloat16", "products": 5,
    "multiply_adds": 10**9, "bare_seconds": 0.1, "epoch_seconds": 0.4, "share": 0.25, "target": 1 / 3,
}  # fmt: skip


def strip(page: str) -> str:
    """Its text, without scripts and tags."""
    return re.sub(r"<[^>]+>", " ", re.sub(r"<(script|style).*?</\1>", " ", page, flags=re.S))


@pytest.mark.parametrize(
    ("experiment", "words"),
    [
        ("race", ["LoRA, joint", "Seconds to LoRA", "peak memory", "textbook LoRA, a run a task"]),
        ("depths", ["top 2 layers tuned in full, depth 6", "over depth"]),
        ("heads", ["6 heads", "a run a head", "count/r2"]),
        ("ablate", ["no lexical tap", "In plain words", "all layers in full, a link for every layer"]),
        ("tune", ["LoRA, rate 0.0003", "validation slots/entity_f1"]),
    ],
)
def test_page_of_each_experiment(experiment, words):
    page = render_page(make_experiment(experiment), [RATE])
    text = strip(page)
    for word in words:
        assert word in text, word
    assert "missed" in text
    assert "nan" not in text
    assert not re.search(r"(src|href)=", re.sub(r"<script.*?</script>", "", page, flags=re.S))


def test_a_gpus_memory_is_shown_where_there_was_one():
    results = make_experiment("race")
    assert "peak GPU memory" not in strip(render_page(results))
    results[0]["gpu_memory_mb"] = 1234.0
    page = strip(render_page(results))
    assert "peak GPU memory" in page
    assert "1,234" in page


def test_what_ends_lower_with_less_is_worth_having():
    """And what ends lower with more, or with something else, does not help."""
    found = {"base": 0.9, "depth-0": 0.8, "lexical-off": 0.95, "linear": 0.8, "crf": 0.95, "density-4": 0.9}
    jobs = build_jobs(EXPERIMENTS["ablate"], 6, data=["atis"], seeds=[0, 1, 2], only=list(found))
    page = render_page([make_result(job, found[job.contender]) for job in jobs])
    worse, better = strip(page).partition("Where it does")[::2]
    assert "with less, which is what the rest is worth: depth 0." in better
    assert "higher: CRF." in better
    assert "higher with less: no lexical tap." in worse
    assert "compared with: linear links." in worse
    assert "as good with less: density 1/4." in worse


def test_page_names_failures_and_escapes():
    results = make_experiment("race", (0,))
    results[0] = {"job": results[0]["job"], "error": "<b>broken</b>"}
    page = render_page(results)
    assert "&lt;b&gt;broken" in page
    assert "Verdicts need" in page


def test_page_without_results():
    assert "Chain benchmark" in render_page([])


def test_a_run_and_its_repetition(rows, backbone, tmp_path, capsys):
    call = [
        "race", "--out", str(tmp_path / "out"), "--quick", "--seeds", "0", "--data", "atis", "--only", "fast",
        "--backbone", str(backbone),
    ]  # fmt: skip
    assert main(call) == 0
    assert "test slots/entity_f1" in capsys.readouterr().err
    result = json.loads((tmp_path / "out" / "results" / "race" / "atis" / "fast-0.json").read_text())
    assert result["seconds"]["imports"] > 0
    slots, intent = (result["right"]["test"][head] for head in ("slots", "intent"))
    both = sum(one == other == "1" for one, other in zip(slots, intent, strict=True)) / len(slots)
    assert both == pytest.approx(result["test"]["joint/exact_match"])
    assert intent.count("1") / len(intent) == pytest.approx(result["test"]["intent/accuracy"])
    assert not list((tmp_path / "out" / "work").iterdir())
    assert main(call) == 0
    assert "there already" in capsys.readouterr().err
    (tmp_path / "out" / "index.html").unlink()
    assert main(["report", "--out", str(tmp_path / "out")]) == 0
    assert "fewer rows or epochs" in (tmp_path / "out" / "index.html").read_text()
    assert main(["time-to-quality", "--out", str(tmp_path / "out")]) == 1


def test_data_that_is_not_there_is_left_out(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("CHAIN_BENCHMARK_DATA", str(tmp_path))
    assert main(["race", "--out", str(tmp_path / "out"), "--data", "wnut17"]) == 1
    assert "left out: wnut17" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["atis", "wnut17"])
def test_shared_rows_fit_their_tags(name):
    try:
        rows = read_rows(name)
    except DataAbsent as error:
        pytest.skip(str(error))
    column = {"atis": "slots", "wnut17": "ner"}[name]
    assert all(len(row["tokens"]) == len(row[column]) > 0 for part in rows.values() for row in part)
