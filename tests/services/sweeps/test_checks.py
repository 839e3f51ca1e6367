"""A sweep before it begins: what is wrong with which of its settings, how many runs, how long."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from chain_core.services.backbones import ask_backbone
from chain_core.services.sweeps.axes import parse_axis
from chain_core.services.sweeps.checks import SweepCheck, check_sweep
from chain_core.services.sweeps.sweep import Sweep
from tests.tiny import build_commands, write_rows


@pytest.fixture
def check(tmp_path: Path, backbone: Path):
    write_rows(tmp_path / "train.jsonl", build_commands(60))

    def check_axes(*axes: str, kind: str = "grid", gflops: float | None = 50.0, **keys: Any) -> SweepCheck:
        base = {"data": {"train": "train.jsonl"}, "backbone": {"name": str(backbone)}, **keys}
        sweep = Sweep("s", kind, base, str(tmp_path), tuple(map(parse_axis, axes)))
        return check_sweep(sweep, ask_backbone, gflops)

    return check_axes


def test_all_that_fits_is_told_with_its_number_and_time(check) -> None:
    found = check("chain.depth=0..4", "train.seed=0,1")
    assert (found.count, found.findings, len(found.combinations)) == (10, (), 10)
    assert found.combinations[:2] == ({"chain.depth": 0, "train.seed": 0}, {"chain.depth": 0, "train.seed": 1})
    assert (found.seconds or 0) > 0
    assert found.sweep.layers == (1, 2, 3, 4), "evenly spaced taps of 0 to 4 links over 4 layers"
    assert set(found.sweep.base["heads"]) >= {"intent"}, "heads are inferred once, for all runs"
    assert check("chain.depth=1,2", gflops=None).seconds is None


def test_every_finding_at_once_with_its_settings(check) -> None:
    found = check("backbone.tuning=frozen,lora", "backbone.layers=2,9", "train.learning_rate=0.001,0")
    by_path = {finding.path: finding for finding in found.findings}
    assert set(by_path) == {"train.learning_rate", "backbone.layers"}
    assert len(by_path["train.learning_rate"].settings) == 4
    assert by_path["backbone.layers"].settings == (
        {"backbone.tuning": "lora", "backbone.layers": 9, "train.learning_rate": 0.001},
    )
    assert found.count == 8
    assert len(found.combinations) == 3


def test_unknown_keys_and_missing_rows_are_findings(check) -> None:
    assert [finding.path for finding in check("chain.deep=1,2").findings] == ["chain.deep"]
    assert [finding.path for finding in check("chain.depth=1,2", data={"train": "no.csv"}).findings] == ["data"]
    assert [finding.error.code for finding in check("backbone.name=/no/where").findings] == ["backbone_no_folder"]
    assert [finding.error.code for finding in check("train.seed=0..1000").findings] == ["sweep_size"]


def test_of_a_search_the_ends_are_tried(check) -> None:
    found = check("chain.depth=0..20", "train.learning_rate=1e-4..1e-2:log", kind="search")
    assert [finding.path for finding in found.findings] == ["chain.depth"]
    assert found.findings[0].settings == ({"chain.depth": 20},)
    fine = check("chain.depth=1..4", "train.learning_rate=1e-4..1e-2:log", kind="search")
    assert (fine.count, fine.findings, fine.combinations) == (20, (), ())
    assert (fine.seconds or 0) > 0


def test_what_comes_to_nothing_is_told_with_its_settings_and_stops_nothing(check) -> None:
    found = check("backbone.tuning=frozen,lora", train={"l2_sp": 0.01}, augment={"delete": 0.2})
    assert (found.findings, len(found.combinations)) == ((), 2)
    told = {remark.note["params"]["path"]: remark.settings for remark in found.remarks}
    assert told == {"train.l2_sp": ({"backbone.tuning": "frozen"},), "augment.delete": ()}
