"""Whether a run that was killed on its way ended exactly as one that was not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import torch
from safetensors.torch import load_file

from chain_core.services.runs.checkpoint_names import list_checkpoints
from chain_core.services.store.store import Store
from tests.services.resuming import drop_times, read_log

COURSE = ("stage", "step", "epoch")


def find_problems(store: Store, run_id: str, folder: Path, untouched: Path) -> list[str]:
    """In words; none where all is as it should be."""
    run = store.get_run(run_id)
    if run.state != "finished":
        return [f"{run_id} is {run.state}: {json.dumps(run.error)}"]
    told, wanted = store.read_events(run_id), _pick(read_log(untouched))
    problems = []
    if [event["seq"] for event in told] != list(range(1, len(told) + 1)):
        problems.append(f"{run_id}: the numbers of its events have gaps")
    stripped = [{key: value for key, value in event.items() if key != "seq"} for event in told]
    if _pick(stripped) != wanted:
        problems.append(f"{run_id}: {_count(stripped)} instead of {_count(wanted)}, or with other numbers")
    if drop_times(read_log(folder)) != drop_times(stripped):
        problems.append(f"{run_id}: its log and the store differ")
    steps = [event["step"] for event in wanted if event["kind"] == "step"]
    if store.read_curves(run_id)["train/loss"].step != steps:
        problems.append(f"{run_id}: points of its curve are lost or doubled")
    return problems + [f"{run_id}: {problem}" for problem in _compare_folders(folder, untouched)]


def _pick(events: list[dict]) -> list[dict]:
    return [drop_times(event) for event in events if event["kind"] in COURSE]


def _count(events: list[dict]) -> str:
    return ", ".join(f"{sum(e['kind'] == kind for e in events)} {kind}" for kind in COURSE)


def _compare_folders(folder: Path, untouched: Path) -> list[str]:
    problems = []
    weights = [load_file(part / "model" / "chain.safetensors") for part in (folder, untouched)]
    same = list(weights[0]) == list(weights[1])
    if not same or not all(torch.equal(value, weights[1][name]) for name, value in weights[0].items()):
        problems.append("other weights")
    names = [sorted(path.name for path in (part / "predictions").iterdir()) for part in (folder, untouched)]
    if names[0] != names[1] or not all(
        pq.read_table(folder / "predictions" / name).equals(pq.read_table(untouched / "predictions" / name))
        for name in names[0]
    ):
        problems.append("other predictions")
    if _read_report(folder) != _read_report(untouched):
        problems.append("other figures")
    if list_checkpoints(folder) or list(folder.rglob("*.draft")) or list(folder.rglob(".*.draft")):
        problems.append("checkpoints or drafts are left")
    return problems


def _read_report(folder: Path) -> Any:
    return drop_times(json.loads((folder / "report.json").read_text()))
