"""The live view's frames."""

from __future__ import annotations

from chain_core.services.store.records import Curve
from chain_core.ui.runs.curves import (
    LATEST_EPOCHS,
    build_loss_chart,
    build_loss_frame,
    build_validation_frame,
    find_heads,
)


def build_curve(*values: float) -> Curve:
    epochs = [float(position) for position, _ in enumerate(values, 1)]
    return Curve(list(epochs), list(epochs), [0.0] * len(values), list(values))


CURVES = {
    "learning_rate": build_curve(0.1),
    "train/loss": build_curve(3, 2),
    "train/intent@10/loss": build_curve(1, 0.5),
    "train/intent@3/loss": build_curve(2, 1),
    "train/intents@3/loss": build_curve(9, 9),
    "validation/intent@3/loss": build_curve(1.5),
    "validation/intent@3/accuracy": build_curve(0.5),
    "validation/score": build_curve(0.5),
}


def name(split: str, depth: int) -> str:
    return f"{split} {depth}"


def test_heads_are_those_with_a_loss() -> None:
    assert find_heads(CURVES) == ["intent", "intents"]
    assert find_heads({}) == []


def test_losses_of_one_head_at_all_depths_in_order() -> None:
    frame = build_loss_frame(CURVES, "intent", {"train": "训练", "validation": "验证"})
    assert list(dict.fromkeys(zip(frame["split"], frame["depth"], strict=True))) == [
        ("训练", "3"), ("训练", "10"), ("验证", "3"),
    ]  # fmt: skip
    assert frame.loc[(frame["depth"] == "3") & (frame["split"] == "训练"), "loss"].tolist() == [2, 1]
    assert 9 not in frame["loss"].tolist(), "another head whose name begins alike stays out"


def test_the_charts_description_holds_no_data() -> None:
    titles = {name: name for name in ("epoch", "loss", "depth", "split")}
    chart = build_loss_chart("train", "validation", titles)
    assert chart == build_loss_chart("train", "validation", titles)
    assert "data" not in chart


STAGES = [{"stage": 1, "name": "warm", "epoch": 0}, {"stage": 2, "name": "<b>top</b>", "epoch": 3}]


def test_each_of_several_stages_is_marked_where_it_begins() -> None:
    frame = build_loss_frame(CURVES, "intent", {"train": "train"}, STAGES)
    marks = frame[frame["stage"].notna()]
    assert list(zip(marks["epoch"], marks["stage"], strict=True)) == [(0.0, "warm"), (3.0, "<b>top</b>")]
    assert marks["loss"].isna().all()
    assert frame["loss"].notna().sum() == 4
    assert build_loss_frame(CURVES, "intent", {"train": "train"}, STAGES[:1])["stage"].isna().all()
    assert build_loss_frame({}, "intent", {"train": "train"}, STAGES).empty


def test_the_chart_marks_stages_and_keeps_them_out_of_the_lines() -> None:
    titles = {name: name for name in ("epoch", "loss", "depth", "split")}
    layers = build_loss_chart("train", "validation", titles)["layer"]
    marks = [layer for layer in layers if layer["mark"]["type"] in ("rule", "text")]
    assert all(layer["transform"] == [{"filter": "isValid(datum.stage)"}] for layer in marks)
    lines = next(layer for layer in layers if layer["mark"]["type"] == "line")
    assert lines["transform"] == [{"filter": "isValid(datum.loss)"}]
    assert not any("color" in layer["encoding"] for layer in marks)


def test_validation_figures_name_the_stage_and_skip_epochs_of_other_heads() -> None:
    events = [
        {"epoch": 1, "stage": 1, "validation": {"masked_lm@3": {"loss": 1.0}}},
        {"epoch": 4, "stage": 2, "validation": {"intent@3": {"accuracy": 0.5}}},
    ]
    frame = build_validation_frame(events, "intent", name, STAGES)
    assert frame.to_dict("records") == [{"epoch": "4", "stage": "<b>top</b>", "accuracy 3": 0.5}]


def test_validation_figures_latest_first_with_the_loss_last() -> None:
    events = [
        {
            "epoch": epoch, "best": epoch == 1,
            "validation": {
                "intent@3": {"loss": 0.2, "accuracy": epoch / 10}, "intent@1": {"loss": 0.3, "accuracy": 0.1},
                "other@3": {"loss": 1.0},
            },
        }
        for epoch in range(1, 4)
    ]  # fmt: skip
    frame = build_validation_frame(events, "intent", name)
    assert list(frame.columns) == ["epoch", "accuracy 1", "accuracy 3", "loss 1", "loss 3"]
    assert frame["epoch"].tolist() == ["3", "2", "1 ★"]
    assert frame["accuracy 3"].tolist() == [0.3, 0.2, 0.1]
    many = build_validation_frame(events * 100, "intent", name)
    assert len(many) == LATEST_EPOCHS
    assert build_validation_frame([], "intent", name).empty
