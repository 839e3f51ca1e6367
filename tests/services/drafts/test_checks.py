"""A draft held against real rows and a real backbone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from chain_core.config import resolve_config
from chain_core.modeling.backbones.catalogue import read_facts
from chain_core.services.backbones import ask_backbone, forget_backbone, is_local
from chain_core.services.drafts.checks import Inspection, complete_draft, inspect_draft
from chain_core.services.rows.prepare import open_tables
from tests.test_paths import NOWHERE
from tests.tiny import save_tiny_backbone

ROWS = [
    {
        "text": f"turn on the light {index}", "tokens": ["turn", "on", "the", "light"],
        "tags": ["B-act", "I-act", "O", "B-thing"] if index % 2 else ["O", "O", "O", "B-thing"],
        "intent": ["on", "off", "dim"][index % 3], "one": "same", "score": index / 7, "words": "several words here",
    }
    for index in range(60)
]  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "rows.jsonl").write_text("\n".join(json.dumps(row) for row in ROWS), encoding="utf-8")
    return tmp_path


def inspect(folder: Path, gflops: float | None = 100.0, **sections: Any) -> Inspection:
    draft = {
        "data": {"train": "rows.jsonl"},
        "input": {"tokens": "tokens"},
        "heads": {"intent": {"kind": "classification", "column": "intent"}},
        **sections,
    }
    return inspect_draft(draft, folder, read_facts("minilm-l6"), gflops)


@pytest.mark.parametrize(
    ("links", "found"),
    [
        ({"kind": "attention", "init": "backbone"}, [("chain.links", "init_backbone_family")]),
        ({"kind": "backbone", "init": "backbone"}, []),
        ({"kind": "attention", "init": "random"}, []),
    ],
)
def test_links_begin_from_the_layers_of_known_families_only(
    folder: Path, tmp_path: Path, links: dict[str, str], found: list[tuple[str, str]]
) -> None:
    backbone = save_tiny_backbone(tmp_path / "opt", "opt")
    draft = {
        "data": {"train": "rows.jsonl"}, "input": {"tokens": "tokens"}, "backbone": {"name": str(backbone)},
        "heads": {"intent": {"kind": "classification", "column": "intent"}}, "chain": {"depth": 2, "links": links},
    }  # fmt: skip
    assert list_problems(inspect_draft(draft, folder, read_facts(str(backbone)), 100.0)) == found


def list_problems(inspection: Inspection) -> list[tuple[str, str]]:
    for problem in inspection.problems:
        assert problem.error.text("en") != f"errors.{problem.error.code}"
    return [(problem.path, problem.error.code) for problem in inspection.problems]


def test_a_good_draft_has_a_plan_and_no_problem(folder: Path) -> None:
    inspection = inspect(folder)
    assert list_problems(inspection) == []
    assert inspection.plan is not None
    assert inspection.plan.seconds is not None
    assert inspection.sizes == {"train": 54, "validation": 6}
    assert inspection.tasks[0].label_space == ("dim", "off", "on")
    assert set(inspection.targets) == {"query", "key", "value", "dense"}
    assert set(inspection.columns) == set(ROWS[0])


@pytest.mark.parametrize(
    ("sections", "path", "code"),
    [
        ({"chain": {"depth": 1, "taps": [7]}}, "chain.taps[0]", "tap_beyond"),
        ({"chain": {"budget": "50k"}}, "chain.budget", "budget_too_small"),
        ({"backbone": {"tuning": "full", "layers": 7}}, "backbone.layers", "must_be_at_most"),
        ({"backbone": {"tuning": "lora", "targets": ["nothing"]}}, "backbone.targets", "lora_targets"),
        ({"input": {"tokens": "tokens", "max_length": 4000}}, "input.max_length", "must_be_at_most"),
        ({"input": {"text": "txet"}}, "input.text", "input_column_missing"),
        ({"input": {}}, "input", "input_missing"),
        ({"heads": None}, "heads", "no_label_column"),
        ({"heads": {"a": {"kind": "tagging", "column": "tokens"}}}, "heads.a.column", "head_reads_input"),
        ({"heads": {"a": {"kind": "classification", "column": "intend"}}}, "heads.a", "column_missing_nearest"),
        ({"heads": {"a": {"kind": "classification", "column": "one"}}}, "heads.a", "one_class"),
        ({"heads": {"a": {"kind": "regression", "column": "intent"}}}, "heads.a", "not_numbers"),
        ({"data": {"train": "absent.csv"}}, "data", "file_missing"),
        ({"data": {"train": "absent"}}, "data", "data_set_unknown"),
        ({"data": {"train": "rows.jsonl", "split": "nothing"}}, "data", "column_missing"),
        ({"chain": {"depht": 1}}, "chain.depht", "unknown_key"),
    ],
)
def test_what_does_not_fit_is_a_problem_of_its_section(
    folder: Path, sections: dict[str, Any], path: str, code: str
) -> None:
    assert (path, code) in list_problems(inspect(folder, **sections))


def test_one_bad_head_leaves_the_others_learnt(folder: Path) -> None:
    heads = {"a": {"kind": "classification", "column": "one"}, "b": {"kind": "regression", "column": "score"}}
    inspection = inspect(folder, heads=heads)
    assert [task.name for task in inspection.tasks] == ["b"]
    assert inspection.plan is not None


NEWS = "words;topic;intent\n" + "".join(f"some news number {n};{'xyz'[n % 3]};{n}\n" for n in range(30))


def test_a_further_data_set_is_held_against_its_own_rows(folder: Path) -> None:
    (folder / "news.csv").write_text(NEWS)
    also = {"news": {"data": {"train": "news.csv"}, "input": {"text": "words"}}}
    heads = {
        "intent": {"kind": "classification", "column": "intent"},
        "topic": {"kind": "classification", "column": "topic", "data": "news"},
    }
    inspection = inspect(folder, also=also, heads=heads)
    assert list_problems(inspection) == []
    assert [task.label_space for task in inspection.tasks] == [("dim", "off", "on"), ("x", "y", "z")]
    assert inspection.sizes == {"train": 81, "validation": 9}
    assert inspection.plan is not None
    heads["topic"]["column"] = "tags"
    wrong = {"news": {"data": {"train": "news.csv"}, "input": {"text": "text"}}}
    found = list_problems(inspect(folder, also=wrong, heads=heads))
    assert found == [("heads.topic", "column_missing"), ("also.news.input.text", "input_column_missing")]
    absent = {"news": {"data": {"train": "absent.csv"}, "input": {"text": "text"}}}
    assert list_problems(inspect(folder, also=absent, heads=heads)) == [("also.news.data", "file_missing")]


def test_what_a_draft_leaves_open_is_inferred_for_every_data_set_as_for_a_run(folder: Path) -> None:
    (folder / "news.csv").write_text(NEWS)
    draft = {"data": {"train": "rows.jsonl"}, "also": {"news": {"data": {"train": "news.csv"}}}}
    completed = complete_draft(draft, folder)
    assert completed["also"]["news"]["input"] == {"text": "words"}
    assert completed["heads"]["topic"] == {"kind": "classification", "column": "topic", "data": "news"}
    config, _, _ = open_tables(resolve_config(draft), folder)
    assert resolve_config(completed) == config
    given = {**draft, "input": {"tokens": "tokens"}, "heads": completed["heads"]}
    assert complete_draft(given, folder)["also"]["news"]["input"] == {"text": "words"}
    away = {**draft, "also": {"news": {"data": {"train": "absent.csv"}}}}
    assert complete_draft(away, folder) == away


def test_a_problem_names_the_key_of_its_own_data_set(folder: Path) -> None:
    (folder / "news.csv").write_text(NEWS)
    heads = {
        "intent": {"kind": "classification", "column": "intent"},
        "topic": {"kind": "classification", "column": "topic", "data": "news"},
    }
    also = {"news": {"data": {"train": "news.csv"}, "input": {"max_length": 8000}}}
    for problem in inspect(folder, also=also, heads=heads).problems:
        assert problem.path in ("also.news.input", "also.news.input.max_length")
        assert problem.error.text().startswith(f"{problem.path}: ")
    away = {"news": {"data": {"train": "nope.csv"}, "input": {"text": "words"}}}
    (problem,) = inspect(folder, also=away, heads=heads).problems
    assert problem.error.text().startswith("also.news.data: There is no file")


def test_a_head_that_learns_the_texts_themselves_needs_no_column(folder: Path) -> None:
    heads = {"intent": {"kind": "classification", "column": "intent"}, "words": {"kind": "masked_lm"}}
    stages = [{"objective": "masked_lm"}, {"objective": "tasks"}]
    inspection = inspect(folder, heads=heads, stages=stages)
    assert list_problems(inspection) == []
    assert inspection.plan is not None


def test_an_unknown_backbone_leaves_the_plan_open(folder: Path) -> None:
    draft = {"data": {"train": "rows.jsonl"}, "input": {"text": "text"}, "heads": {}}
    assert inspect_draft(draft, folder, None).plan is None


def test_a_file_that_changes_is_read_again(folder: Path) -> None:
    assert inspect(folder).sizes == {"train": 54, "validation": 6}
    lines = (folder / "rows.jsonl").read_text().splitlines()
    (folder / "rows.jsonl").write_text("\n".join(lines[:30]))
    assert sum((inspect(folder).sizes or {}).values()) == 30


def test_a_draft_is_completed_from_its_columns(folder: Path) -> None:
    draft = complete_draft({"data": {"train": "rows.jsonl"}}, folder)
    assert draft["input"] == {"tokens": "tokens"}
    assert draft["heads"]["intent"] == {"kind": "classification", "column": "intent"}
    assert resolve_config(draft)
    chosen = {"data": {"train": "rows.jsonl"}, "input": {"text": "text"}, "heads": {"x": {"kind": "regression"}}}
    assert complete_draft(chosen, folder) == chosen
    assert complete_draft({"data": {"train": "absent.csv"}}, folder) == {"data": {"train": "absent.csv"}}
    assert complete_draft({"data": 3}, folder) == {"data": 3}


def test_backbones_answer_by_name(tmp_path: Path) -> None:
    assert ask_backbone("minilm-l6").num_layers == 6
    assert ask_backbone(str(tmp_path)).code == "backbone_no_config"
    assert ask_backbone("/no/such/folder").code == "backbone_no_folder"
    assert ask_backbone("~nobody-of-this-name/x").code == "backbone_no_folder"
    assert not is_local("x" * 300)


def test_a_hub_that_does_not_answer_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    from chain_core.services import backbones

    asked, answered = threading.Event(), threading.Event()

    def wait(name: str) -> None:
        asked.set()
        answered.wait(10)
        raise TimeoutError

    monkeypatch.setattr(backbones, "read_facts", wait)
    forget_backbone("owner/model")
    assert ask_backbone("owner/model") is None
    assert asked.wait(10)
    assert ask_backbone("owner/model") is None, "still asking"
    answered.set()
    future = backbones._ASKED["owner/model"]
    assert isinstance(future.exception(10), TimeoutError)
    assert ask_backbone("owner/model").code == "hub_unreachable"
    forget_backbone("owner/model")


def test_the_plan_spends_the_budget(folder: Path) -> None:
    chain = {"depth": 3, "links": {"kind": "attention"}, "budget": "500k", "densities": "growing"}
    plan = inspect(folder, chain=chain).plan
    assert plan is not None
    spent = sum(part.parameters for part in plan.parts if part.kind == "link")
    assert 450_000 < spent <= 500_000
    assert plan.densities == tuple(sorted(plan.densities))


def test_stages_and_starts_are_held_against_what_is_there(folder: Path) -> None:
    stages = [{"objective": "causal_lm", "data": "none.txt"}, {"objective": "masked_lm"}, {}]
    found = list_problems(inspect(folder, stages=stages, start={"run": "nowhere"}))
    assert ("stages[0].data", "file_missing") in found
    assert ("stages[0].objective", "causal_lm_encoder") in found
    assert ("start.run", "start_missing") in found
    assert not any(path.startswith("stages[1]") for path, _ in found)


@pytest.mark.parametrize("value", NOWHERE)
def test_a_path_that_cannot_be_there_is_a_problem_of_its_key(folder: Path, value: str) -> None:
    stages = [{"objective": "masked_lm", "data": value}, {"objective": "masked_lm", "data": f"{value}.txt"}, {}]
    augment = {"copies": 1, "synonyms": value, "back_translation": [value, value]}
    found = list_problems(inspect(folder, stages=stages, augment=augment, start={"run": value}))
    assert {path for path, _ in found} == {
        "stages[0].data", "stages[1].data", "augment.synonyms", "augment.back_translation", "start.run",
    }  # fmt: skip
    assert [path for path, _ in list_problems(inspect(folder, data={"train": value}))] == ["data"]


def test_paths_may_start_at_home(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder))
    (folder / "texts.txt").write_text("one\ntwo\n")
    stages = [{"objective": "masked_lm", "data": "~/texts.txt"}, {"objective": "masked_lm", "data": "~/rows.jsonl"}, {}]
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    inspection = inspect(elsewhere, data={"train": "~/rows.jsonl"}, stages=stages)
    assert list_problems(inspection) == []
    assert sum((inspection.sizes or {}).values()) == 60
    lines = (folder / "rows.jsonl").read_text().splitlines()
    (folder / "rows.jsonl").write_text("\n".join(lines[:30]))
    assert sum((inspect(elsewhere, data={"train": "~/rows.jsonl"}).sizes or {}).values()) == 30, "it is read again"


def test_the_plan_counts_the_head_that_a_stage_will_add(folder: Path) -> None:
    plan = inspect(folder, stages=[{"objective": "masked_lm"}, {}]).plan
    assert plan is not None
    (part,) = (part for part in plan.parts if part.name == "masked_lm")
    assert part.parameters > 30_000
