"""Warm start: what is kept of an old run, the pull towards it, and old rows that train along."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from chain_core.config import resolve_config
from chain_core.errors import ConfigError
from chain_core.modeling.bundle import load_bundle
from chain_core.modeling.model import build_model
from chain_core.services.rows.prepare import prepare_run
from chain_core.services.runs.execute import execute_run
from chain_core.training.anchors import compute_pull
from chain_core.training.assemble import FeedBuilder
from chain_core.training.evaluate import compute_answers, compute_scores
from chain_core.training.loop import train
from chain_core.training.start import match_start
from tests.tiny import build_commands, save_tiny_backbone, write_rows

CPU = torch.device("cpu")
HEADS = {
    "intent": {"kind": "classification", "column": "intent", "depths": [1, "last"]},
    "slots": {"kind": "tagging", "column": "slots", "crf": True},
    "score": {"kind": "regression", "column": "score"},
}


def build_mapping(model, /, **sections):
    links = {"kind": "attention"}
    chain = {"depth": 2, "width": 32, "taps": [2, 4], "lexical": "on", "links": links, **sections.pop("chain", {})}
    return {
        "data": {"train": "train.jsonl", "validation": 0.25},
        "input": {"tokens": "tokens"},
        "chain": chain,
        "heads": HEADS,
        **sections,
        "backbone": {"name": str(model), **sections.get("backbone", {})},
        "train": {"epochs": 2, "batch_size": 16, "learning_rate": 5e-3, "precision": "fp32",
                  **sections.get("train", {})},
    }  # fmt: skip


@pytest.fixture(scope="module")
def old(backbone, tmp_path_factory):
    """A trained run of the commands, and the folder that it lies in."""
    folder = tmp_path_factory.mktemp("old")
    write_rows(folder / "train.jsonl", build_commands())
    mapping = build_mapping(backbone, train={"epochs": 8})
    execute_run(resolve_config(mapping), folder / "run", folder=folder, emit=lambda event: None)
    return folder


def prepare(folder, mapping):
    material = prepare_run(resolve_config(mapping), folder)
    return material, build_model(material.config, material.tasks, material.facts)


def match(folder, model, material):
    return match_start(folder / "run" / "model", model, material.config, material.facts)


def test_the_same_chain_answers_as_the_old_one(old, backbone):
    material, model = prepare(old, build_mapping(backbone, start={"run": "run"}))
    start = match(old, model, material)
    start.apply(model)
    trained, *_ = load_bundle(old / "run" / "model")
    for name, value in trained.get_saved().items():
        assert torch.equal(value, model.state_dict()[name]) or name.endswith("class_weights")
    assert [note["code"] for note in start.notes] == ["start_kept"]
    assert start.notes[0]["params"] == {"links": "1, 2", "heads": "intent@1, intent@2, slots@2, score@2"}
    assert not start.kept


@pytest.mark.parametrize("threshold", ["fixed", "tuned"])
def test_a_threshold_is_chosen_anew(old, backbone, tmp_path, threshold):
    """Whether the old run tuned it or not: the head is kept, its shift is not."""
    heads = {"slots": {**HEADS["slots"], "threshold": "tuned" if threshold == "fixed" else "fixed"}}
    write_rows(tmp_path / "train.jsonl", build_commands())
    mapping = build_mapping(backbone, train={"epochs": 1})
    execute_run(resolve_config({**mapping, "heads": heads}), tmp_path / "run", folder=tmp_path, emit=lambda event: None)
    mapping = build_mapping(backbone, start={"run": "run"})
    mapping["heads"] = {"slots": {**HEADS["slots"], "threshold": threshold}}
    material, model = prepare(tmp_path, mapping)
    start = match(tmp_path, model, material)
    assert start.notes[0]["params"]["heads"] == "slots@2"
    assert not [name for name in start.weights if name.endswith("shift")]


@pytest.mark.parametrize(("before", "after", "kept"), [("off", "on", True), ("on", "off", False)])
def test_a_crf_may_join_a_head_but_not_leave_it(backbone, tmp_path, before, after, kept):
    write_rows(tmp_path / "train.jsonl", build_commands())

    def build(crf, **sections):
        return {
            **build_mapping(backbone, train={"epochs": 2}, **sections),
            "heads": {"slots": {**HEADS["slots"], "crf": crf}},
        }

    execute_run(resolve_config(build(before)), tmp_path / "run", folder=tmp_path, emit=lambda event: None)
    material, model = prepare(tmp_path, build(after, start={"run": "run"}))
    start = match(tmp_path, model, material)
    assert ("slots@2" in start.notes[0]["params"]["heads"]) == kept
    start.apply(model)
    if kept:
        feed = FeedBuilder(material, model, CPU, torch.float32, lambda event: None, lambda: "").build()
        trained, *_ = load_bundle(tmp_path / "run" / "model")
        rows = feed.splits["validation"]
        new, old = (compute_answers(each, feed, rows, CPU, torch.float32) for each in (model, trained))
        assert new.values == old.values


def test_a_link_whose_attention_has_heads_of_another_size_is_not_kept(backbone, tmp_path):
    """The shapes do not tell: the same matrices would be cut into other heads."""
    write_rows(tmp_path / "train.jsonl", build_commands())

    def build(init, **sections):
        links = [{"kind": "attention", "init": init}, {"kind": "attention"}]
        return build_mapping(backbone, chain={"links": links}, train={"epochs": 1}, **sections)

    execute_run(resolve_config(build("backbone")), tmp_path / "run", folder=tmp_path, emit=lambda event: None)
    for init, links in (("backbone", "1, 2"), ("identity", "2")):
        material, model = prepare(tmp_path, build(init, start={"run": "run"}))
        assert match(tmp_path, model, material).notes[0]["params"]["links"] == links


def test_a_longer_chain_judges_as_the_old_one_before_it_learns(old, backbone):
    mapping = build_mapping(backbone, chain={"depth": 3, "taps": [2, 4, 4]}, start={"run": "run"}, train={"epochs": 1})
    mapping["heads"] = {**HEADS, "topics": {"kind": "multilabel", "column": "topics"}}
    material, model = prepare(old, mapping)
    start = match(old, model, material)
    start.apply(model)
    feed = FeedBuilder(material, model, CPU, torch.float32, lambda event: None, lambda: "").build()
    scores = compute_scores(
        compute_answers(model, feed, feed.splits["validation"], CPU, torch.float32), material.tasks, feed.gold
    )
    trained, _, tasks, _ = load_bundle(old / "run" / "model")
    before = compute_scores(
        compute_answers(trained, feed, feed.splits["validation"], CPU, torch.float32), tasks, feed.gold
    )
    assert scores["intent", 3] == pytest.approx(before["intent", 2])
    assert scores["slots", 3] == pytest.approx(before["slots", 2])
    notes = {note["code"]: note["params"] for note in start.notes}
    assert notes["start_new"] == {"links": "3", "heads": "topics@3"}


def test_a_grown_label_space_keeps_the_rows_of_known_labels(old, backbone, tmp_path):
    rows = build_commands(90)
    for number, row in enumerate(rows):
        if number % 5 == 0:
            row["intent"] = "a-new-one"
        if row["slots"]:
            row["slots"][0] = "B-verb"
    write_rows(tmp_path / "train.jsonl", rows)
    material, model = prepare(tmp_path, build_mapping(backbone, start={"run": str(old / "run")}))
    spaces = {task.name: task.label_space for task in material.tasks}
    assert "a-new-one" in spaces["intent"]
    fresh = model.chain.get_head("intent", 2).out.weight.detach().clone()
    start = match(old, model, material)
    start.apply(model)
    trained, _, tasks, _ = load_bundle(old / "run" / "model")
    before = {task.name: task.label_space for task in tasks}
    for name, part in (("intent", "out.weight"), ("slots", "out.bias"), ("slots", "crf.first")):
        new, given = (chain.get_head(name, 2).get_parameter(part) for chain in (model.chain, trained.chain))
        for number, label in enumerate(spaces[name]):
            if label in before[name]:
                assert torch.equal(new[number], given[before[name].index(label)])
    place = spaces["intent"].index("a-new-one")
    assert torch.equal(model.chain.get_head("intent", 2).out.weight[place], fresh[place])
    steps, given = (chain.get_head("slots", 2).crf.steps for chain in (model.chain, trained.chain))
    one, other = "O", "B-place"
    assert torch.equal(
        steps[spaces["slots"].index(one), spaces["slots"].index(other)],
        given[before["slots"].index(one), before["slots"].index(other)],
    )
    notes = [note["params"] for note in start.notes if note["code"] == "start_labels"]
    assert {note["head"]: (note["known"], note["labels"]) for note in notes} == {"intent": (3, 4), "slots": (4, 5)}
    anchor = start.build_anchor(model, 2.0, CPU)
    with torch.no_grad():
        model.chain.get_head("intent", 2).out.weight[place] += 100
    assert compute_pull(model, [anchor]).item() == 0, "what is new is pulled nowhere"


def test_other_shapes_begin_anew(old, backbone):
    links = [{"kind": "attention", "density": 0.5}, {"kind": "attention"}]
    mapping = build_mapping(backbone, chain={"links": links, "taps": [1, 4]}, start={"run": "run"})
    mapping["heads"] = {"intent": {"kind": "multilabel", "column": "topics"}, "slots": HEADS["slots"]}
    material, model = prepare(old, mapping)
    notes = {note["code"]: note["params"] for note in match(old, model, material).notes}
    assert notes["start_kept"] == {"links": "2", "heads": "slots@2"}
    assert notes["start_new"] == {"links": "1", "heads": "intent@2"}
    assert notes["start_left"] == {"heads": "score"}


def test_a_link_that_joins_later_changes_no_answer_as_it_does(old, backbone):
    stages = [{"depth": 1, "epochs": 1}, {"depth": 2, "epochs": 1}]
    material, model = prepare(old, build_mapping(backbone, stages=stages, start={"run": "run"}))
    start = match(old, model, material)
    notes = {note["code"]: note["params"] for note in start.notes}
    assert notes["start_kept"]["links"] == "1"
    assert notes["start_joins"] == {"links": "2", "depth": 1}
    feed = FeedBuilder(material, model, CPU, torch.float32, lambda event: None, lambda: "").build()
    before = None
    for event in train(model, feed, material.tasks, material.config, CPU, torch.float32, lambda: "", start=start):
        if event["kind"] == "epoch":
            before = event["validation"]
        if event["kind"] == "stage" and event["stage"] == 2:
            break
    assert model.chain.active_depth == 2
    answers = compute_answers(model, feed, feed.splits["validation"], CPU, torch.float32)
    scores = compute_scores(answers, material.tasks, feed.gold)
    assert {f"{head}@{depth}": values for (head, depth), values in scores.items()} == before


def test_other_taps_are_told(old, backbone):
    material, model = prepare(old, build_mapping(backbone, chain={"taps": [1, 4]}, start={"run": "run"}))
    notes = {note["code"]: note["params"] for note in match(old, model, material).notes}
    assert notes["start_taps"] == {"links": "1", "taps": "2"}


@pytest.mark.parametrize(
    ("sections", "code"),
    [
        ({"chain": {"width": 64}}, "start_width"), ({"start": {"run": "nowhere"}}, "start_missing"),
        ({"start": {"run": "run", "replay": 0.5}, "heads": {"other": HEADS["intent"]}}, "start_no_heads"),
    ],
)  # fmt: skip
def test_what_cannot_start_is_a_sentence(old, backbone, tmp_path, sections, code):
    mapping = build_mapping(backbone, **{"start": {"run": "run"}, **sections})
    with pytest.raises(ConfigError) as caught:
        execute_run(resolve_config(mapping), tmp_path / "new", folder=old, emit=lambda event: None)
    assert caught.value.code == code


def test_another_backbone_is_refused(old, tmp_path):
    other = save_tiny_backbone(tmp_path / "other", "roberta")
    mapping = build_mapping(other, start={"run": "run"})
    with pytest.raises(ConfigError) as caught:
        execute_run(resolve_config(mapping), tmp_path / "new", folder=old, emit=lambda event: None)
    assert caught.value.code == "start_backbone"


def test_a_tuned_backbone_goes_on_as_it_was_tuned(old, backbone, tmp_path):
    tuned = {"tuning": "lora", "layers": 1}
    options = {"folder": old, "emit": lambda event: None}
    execute_run(resolve_config(build_mapping(backbone, backbone=tuned)), tmp_path / "tuned", **options)
    start = {"run": str(tmp_path / "tuned")}
    with pytest.raises(ConfigError) as caught:
        execute_run(resolve_config(build_mapping(backbone, start=start)), tmp_path / "new", **options)
    assert caught.value.code == "start_tuning"
    material, model = prepare(old, build_mapping(backbone, backbone=tuned, start=start))
    weights = match_start(tmp_path / "tuned" / "model", model, material.config, material.facts).weights
    assert any("lora_" in name for name in weights)


@pytest.mark.parametrize(
    ("before", "after"),
    [("lora", {"alpha": 8.0}), ("lora", {"tuning": "rslora"}), ("dora", {"alpha": 64.0}), ("adalora", {"alpha": 4.0})],
)
def test_an_adapter_that_is_scaled_otherwise_changes_the_layers_as_before(old, backbone, tmp_path, before, after):
    tuned = {"tuning": before, "layers": 2, "rank": 4, "dropout": 0.0}
    strong = build_mapping(backbone, backbone=tuned, train={"backbone_learning_rate": 0.05})
    execute_run(resolve_config(strong), tmp_path / "tuned", folder=old, emit=lambda event: None)
    start = {"run": str(tmp_path / "tuned")}
    inputs = torch.randn(3, 5, 32)
    states = []
    for backbone_section in (tuned, {**tuned, **after}):
        material, model = prepare(old, build_mapping(backbone, backbone=backbone_section, start=start))
        match_start(tmp_path / "tuned" / "model", model, material.config, material.facts).apply(model)
        states.append(run_layers(model, inputs))
    torch.testing.assert_close(states[1], states[0])
    fresh = prepare(old, strong)[1]
    assert not torch.allclose(run_layers(fresh, inputs), states[0], atol=0.01)


def run_layers(model, inputs):
    """The last layer's states (B, T, H) where the tuned ones are given these."""
    with torch.no_grad():
        mask = torch.ones(inputs.shape[:2], dtype=torch.bool)
        return model.eval().upper(mask, None, None, inputs, None)[4]


def learn(folder, mapping):
    """Distance of the links' weights from the old ones after a run."""
    material, model = prepare(folder, mapping)
    start = match_start(material_folder(material), model, material.config, material.facts)
    feed = FeedBuilder(material, model, CPU, torch.float32, lambda event: None, lambda: "").build()
    options = (material.tasks, material.config, CPU, torch.float32, lambda: "")
    for _ in train(model, feed, *options, start=start):
        pass
    names = [name for name in start.weights if ".cells." in name]
    return sum((model.state_dict()[name] - start.weights[name]).square().sum().item() for name in names), model, feed


def material_folder(material):
    from pathlib import Path

    return Path(material.config.start.run) / "model"


def write_new_task(folder):
    rows = [{"tokens": row["tokens"], "colour": row["tokens"][2]} for row in build_commands(60)]
    write_rows(folder / "train.jsonl", rows)


def test_the_pull_keeps_weights_near_the_old_ones(old, backbone, tmp_path):
    write_new_task(tmp_path)
    heads = {"colour": {"kind": "classification", "column": "colour"}}
    run = str(old / "run")
    free, held = (
        learn(tmp_path, build_mapping(backbone, heads=heads, start={"run": run, "l2": strength}))
        for strength in (0.0, 1.0)
    )
    assert held[0] < 0.5 * free[0]


def test_replayed_rows_keep_the_old_heads_alive(old, backbone, tmp_path):
    write_new_task(tmp_path)
    heads = {"colour": {"kind": "classification", "column": "colour"}, "intent": HEADS["intent"]}
    start = {"run": str(old / "run"), "replay": 0.5}
    mapping = build_mapping(backbone, heads=heads, start=start, train={"epochs": 6})
    with_column = [{**row, "intent": None} for row in build_commands(60)]
    for row in with_column:
        row["colour"] = row["tokens"][2]
    with_column[0]["intent"], with_column[1]["intent"] = "turn-it", "quite-new"
    write_rows(tmp_path / "train.jsonl", with_column)
    material, _ = prepare(tmp_path, mapping)
    names = [part.name for part in material.sets]
    assert names == ["", "replay"]
    replayed = material.sets[1]
    assert len(replayed.texts) == round(0.5 * len(prepare(old, build_mapping(backbone))[0].sets[0].splits["train"]))
    assert {task.name for task in replayed.tasks} == {"intent"}
    assert (replayed.texts.files == -1).all(), "rows of a sample follow nothing"
    spaces = {task.name: set(task.label_space) for task in material.tasks}
    assert spaces["intent"] == {"turn-it", "play-it", "stop-it", "quite-new"}
    assert "rows_replayed" in {note["code"] for note in material.notes}
    _, model, feed = learn(tmp_path, mapping)
    known = np.flatnonzero(np.asarray(feed.labels["intent"])[60:] >= 0) + 60
    answers = compute_answers(model, feed, known, CPU, torch.float32)
    score = compute_scores(answers, material.tasks, feed.gold)["intent", 2]["accuracy"]
    assert score > 0.9
    assert all(row < 60 for row in feed.splits["validation"])
