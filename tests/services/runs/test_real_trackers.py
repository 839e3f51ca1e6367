"""Weights & Biases and MLflow themselves: curves, config and final figures arrive, a run that goes on stays one run,
nothing is sent anywhere."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chain_core.services.runs.trackers import compute_finals, read_ids
from tests.services.resuming import interrupt, run
from tests.tiny import build_commands, save_tiny_backbone, write_rows

STEPS = 6
"""Two epochs of 48 rows in batches of 16."""


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A run that both have followed, paused after 3 steps and taken up again. Whoever asks for another machine is
    caught."""
    wandb = pytest.importorskip("wandb")
    pytest.importorskip("mlflow")
    folder = tmp_path_factory.mktemp("tracked")
    write_rows(folder / "train.jsonl", build_commands(64))
    mapping = {
        "name": "tiny",
        "data": {"train": "train.jsonl", "validation": 0.25},
        "input": {"tokens": "tokens"},
        "chain": {"depth": 1, "width": 16},
        "heads": {"intent": {"kind": "classification", "column": "intent"}},
        "backbone": {"name": str(save_tiny_backbone(folder / "bert", layers=2))},
        "train": {"epochs": 2, "batch_size": 16, "trackers": ["mlflow", "wandb"]},
    }
    with socket.create_server(("127.0.0.1", 0)) as proxy, pytest.MonkeyPatch.context() as patch:
        proxy.setblocking(False)
        for variable in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            patch.setenv(variable, f"http://127.0.0.1:{proxy.getsockname()[1]}")
            patch.setenv(variable.lower(), f"http://127.0.0.1:{proxy.getsockname()[1]}")
        for variable in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_PROJECT", "MLFLOW_TRACKING_URI"):
            patch.delenv(variable, raising=False)
        patch.setenv("CHAIN_HOME", str(folder / "home"))
        patch.setattr("mlflow.store.db.utils._initialize_tables", make_tables)
        try:
            told = interrupt(folder, mapping, "run", steps=3)
            told += run(folder, mapping, "run", resume=True)
        finally:
            wandb.teardown()
        assert [event for event in told if event.get("code", "").startswith("tracker")] == []
        assert sum(event["kind"] == "step" for event in told) == STEPS
        with pytest.raises(BlockingIOError):
            proxy.accept()
        yield folder / "run"


def make_tables(engine: Any) -> None:
    """MLflow's tables as they are now; it would go through all that they have been, which takes 8 seconds."""
    from mlflow.store.db.utils import _get_latest_schema_revision
    from mlflow.store.tracking.dbmodels.models import Base

    for table in Base.metadata.tables.values():
        table.indexes.clear()  # one of them has no columns
    Base.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
        connection.exec_driver_sql("INSERT INTO alembic_version VALUES (?)", (_get_latest_schema_revision(),))


def read_finals(run_folder: Path) -> dict[str, float]:
    finals = compute_finals(json.loads((run_folder / "report.json").read_text()))
    assert "final/validation/intent/accuracy" in finals
    return finals


def test_mlflow(run_folder: Path) -> None:
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{run_folder / 'mlflow.db'}")
    [found] = client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])
    assert (found.info.run_name, found.info.status) == ("tiny", "FINISHED")
    assert (found.data.params["train.batch_size"], found.data.params["heads.intent.kind"]) == ("16", "classification")
    losses = client.get_metric_history(found.info.run_id, "train/loss")
    assert [point.step for point in losses] == list(range(1, STEPS + 1))
    finals = {name: value for name, value in found.data.metrics.items() if name.startswith("final/")}
    assert finals == pytest.approx(read_finals(run_folder))


def test_wandb(run_folder: Path) -> None:
    files = sorted((run_folder / "wandb").glob("offline-run-*/*.wandb"), key=lambda file: file.stat().st_mtime)
    parts = [list(read_records(file)) for file in files]
    [[first], [second]] = [[record.run for record in part if record.HasField("run")] for part in parts]
    assert first.run_id == second.run_id == read_ids(run_folder)["wandb"]
    assert first.display_name == "tiny"
    config = {update.key: update.value_json for part in parts for record in part for update in record.config.update}
    assert (config["train.batch_size"], config["heads.intent.kind"]) == ("16", '"classification"')
    history = [
        {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in record.history.item}
        for part in parts
        for record in part
        if record.HasField("history")
    ]
    assert [row["_step"] for row in history if "train/loss" in row] == list(range(1, STEPS + 1))
    finals = {name: value for row in history for name, value in row.items() if name.startswith("final/")}
    assert finals == pytest.approx(read_finals(run_folder))


def read_records(file: Path) -> Iterator[Any]:
    """What W&B has written down, in the format of LevelDB's logs: blocks of 32 kB, records in one piece or several."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, at, pending = file.read_bytes(), 7, b""
    while at + 7 <= len(data):
        left = 32768 - at % 32768
        if left < 7:
            at += left
            continue
        length, piece = struct.unpack_from("<HB", data, at + 4)
        pending += data[at + 7 : at + 7 + length]
        at += 7 + length
        if piece in (1, 4):  # whole, or a last piece
            yield Record.FromString(pending)
            pending = b""
