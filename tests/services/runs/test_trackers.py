"""TensorBoard files beside a run; trackers that are missing or fail end no run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from chain_core.config import resolve_config
from chain_core.errors import ConfigError
from chain_core.services.runs import trackers
from chain_core.services.runs.trackers import flatten, follow, name_values

STEP = {"kind": "step", "step": 1, "epoch": 0.1, "seconds": 1.0, "loss": 2.0, "losses": {"intent@3": 1.5}}


def build_config(*names: str) -> Any:
    return resolve_config({"data": {"train": "x"}, "train": {"trackers": list(names)}})


def tell_all(config: Any, out: Path, events: list[dict], step: int = 0) -> list[dict]:
    told: list[dict] = []
    with follow(config, out, told.append, step) as tell:
        for event in events:
            tell(event)
    return told


def read_scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = EventAccumulator(str(folder))
    read.Reload()
    return {tag: [(point.step, point.value) for point in read.Scalars(tag)] for tag in read.Tags()["scalars"]}


def test_by_default_nothing_is_written(tmp_path: Path) -> None:
    assert tell_all(build_config(), tmp_path, [STEP]) == [STEP]
    assert list(tmp_path.iterdir()) == []


def test_tensorboard_shows_the_same_curves(tmp_path: Path) -> None:
    epoch = {"kind": "epoch", "step": 2, "epoch": 1, "score": 0.5, "validation": {"intent@3": {"accuracy": 0.75}}}
    events = [STEP, {**STEP, "step": 2, "loss": 1.0}, epoch, {"kind": "checkpoint", "step": 2}]
    assert tell_all(build_config("tensorboard"), tmp_path, events) == events
    scalars = read_scalars(tmp_path / "tensorboard")
    assert scalars["train/loss"] == [(1, 2.0), (2, 1.0)]
    assert scalars["validation/score"] == [(2, 0.5)]
    assert {value for tag, points in scalars.items() if "accuracy" in tag for _, value in points} == {0.75}


def test_points_that_were_taken_back_are_not_shown(tmp_path: Path) -> None:
    config = build_config("tensorboard")
    tell_all(config, tmp_path, [{**STEP, "step": number, "loss": 9.0} for number in range(1, 7)])
    tell_all(config, tmp_path, [{**STEP, "step": number, "loss": 1.0} for number in range(4, 7)], step=3)
    assert read_scalars(tmp_path / "tensorboard")["train/loss"] == [(n, 9.0 if n < 4 else 1.0) for n in range(1, 7)]


@pytest.mark.parametrize("name", ["tensorboard", "wandb", "mlflow"])
def test_one_that_is_not_installed_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for module in (name, "tensorboardX", "torch.utils.tensorboard"):
        monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.delattr("torch.utils.tensorboard", raising=False)
    note, *rest = tell_all(build_config(name), tmp_path, [STEP, STEP])
    assert (note["kind"], note["code"], note["params"]["tracker"]) == ("note", "tracker_missing", name)
    assert rest == [STEP, STEP]


class Failing:
    """A tracker that fails at one of its methods."""

    def __init__(self, at: str) -> None:
        self._at, self.calls = at, 0

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any, **options: Any) -> None:
            self.calls += 1
            if name == self._at:
                raise SystemExit("no\nlogin") if name == "log" else ConnectionError("no network")

        return call


@pytest.mark.parametrize("at", ["store_init_configuration", "log", "finish"])
def test_one_that_fails_is_told_of_once_and_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    tracker = Failing(at)
    monkeypatch.setattr(trackers, "open_tracker", lambda *arguments: tracker)
    told = tell_all(build_config("wandb"), tmp_path, [STEP, STEP, STEP])
    (note,) = [event for event in told if event["kind"] == "note"]
    assert note["code"] == "tracker_failed"
    assert "no" in note["params"]["reason"]
    assert [event for event in told if event["kind"] == "step"] == [STEP] * 3
    assert tracker.calls == {"store_init_configuration": 1, "log": 2, "finish": 5}[at]


def test_the_run_ends_whatever_its_trackers_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that breaks off closes them and keeps its own error."""
    tracker = Failing("finish")
    monkeypatch.setattr(trackers, "open_tracker", lambda *arguments: tracker)
    with pytest.raises(KeyError), follow(build_config("wandb"), tmp_path, lambda event: None):
        raise KeyError("mine")
    assert tracker.calls == 2


def test_an_unknown_tracker_is_an_error() -> None:
    with pytest.raises(ConfigError) as caught:
        build_config("paper")
    assert caught.value.path.startswith("train.trackers")


def test_names_that_mlflow_knows() -> None:
    values = {"train/intent@3/loss": 1.0, "validation/意图@1/f1": 0.5}
    assert name_values("wandb", values) == values
    assert list(name_values("mlflow", values)) == ["train/intent.3/loss", "validation/意图.1/f1"]


def test_a_config_as_a_tracker_keeps_it() -> None:
    assert flatten({"a": {"b": 1, "c": None}, "d": [1, 2], "e": True}) == {"a.b": 1, "d": "[1, 2]", "e": "True"}


def test_final_figures_arrive_and_the_end_stays_the_last_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = {"test": {"intent": {"accuracy": 0.5, "classes": {"a": 1}}}, "seconds": {"total": 1.0}}
    done = {"kind": "done", "reason": "finished", "report": report}
    tell_all(build_config("tensorboard"), tmp_path, [STEP, done])
    assert read_scalars(tmp_path / "tensorboard")["final/test/intent/accuracy"] == [(1, 0.5)]
    monkeypatch.setattr(trackers, "open_tracker", lambda *arguments: Failing("finish"))
    told = tell_all(build_config("wandb"), tmp_path, [STEP, done])
    assert [event["kind"] for event in told] == ["step", "note", "done"]
