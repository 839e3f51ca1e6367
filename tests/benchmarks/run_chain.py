"""A chain, run as the command line runs it: a config, `execute_run`, its events and its report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

# What every run loads in the end: loaded here, it counts among the imports, as it does for the peers.
from transformers import PreTrainedModel  # noqa: F401

from chain_core.config import merge, resolve_config
from chain_core.paths import get_home
from chain_core.reports.metrics import compute_right
from chain_core.reports.predictions import load_predictions
from chain_core.services.runs.execute import execute_run
from tests.benchmarks.jobs import Job, Result
from tests.benchmarks.measure import (
    describe_machine,
    measure_folder_mb,
    read_cpu_seconds,
    read_memory,
    seconds_since_start,
)
from tests.benchmarks.rows import DATA, read_rows, write_splits
from tests.benchmarks.score import flatten_event, flatten_report, format_right


def run_chain(job: Job, work: Path) -> Result:
    """`job.settings` is the part of the YAML file in which contenders differ."""
    imports = seconds_since_start()
    write_splits(read_rows(job.data, job.rows), work / "rows")
    watch = Watch()
    report = execute_run(resolve_config(build_mapping(job)), work / "run", folder=work / "rows", emit=watch)
    return {
        "curve": watch.curve,
        "best_epoch": report["best_epoch"],
        "validation": flatten_report(report["validation"]),
        "test": flatten_report(report["test"]),
        "depths": report["depths"].get("test", {}),
        "right": {split: list_right(work / "run", split) for split in ("validation", "test")},
        "seconds": {
            "imports": imports,
            "features": report["seconds"]["features"],
            "training": report["seconds"]["training"],
            "epochs": watch.epochs,
            "cpu": read_cpu_seconds(),
            "total": seconds_since_start(),
        },
        **read_memory(),
        "trainable": report["parameters"]["trainable"],
        "disk_mb": {
            "kept": measure_folder_mb(work / "run" / "model"),
            "written": measure_folder_mb(work / "run") + measure_folder_mb(get_home()),
        },
        "machine": describe_machine(),
    }


def list_right(run: Path, split: str) -> dict[str, str]:
    """For each head which rows it has right at its deepest depth, as a string of 0 and 1."""
    said = load_predictions(run / "predictions" / f"{split}.parquet")
    return {
        head: format_right(compute_right(info.kind, said.get_gold(head), said.get_predicted(head, info.depths[-1])))
        for head, info in said.heads.items()
        if info.kind != "regression"
    }


def build_mapping(job: Job) -> dict[str, Any]:
    """The whole config of a job."""
    spec = DATA[job.data]
    heads = {name: head for name, head in spec.heads.items() if not job.tasks or name in job.tasks}
    base = {
        "name": f"{job.contender} {job.seed}",
        "data": {split: f"{split}.jsonl" for split in ("train", "validation", "test")},
        "input": dict(spec.input),
        "backbone": {"name": job.backbone},
        "heads": heads,
    }
    over = {"train": {"seed": job.seed, **({"epochs": job.epochs} if job.epochs else {})}}
    own = job.settings
    if own.get("stages"):  # whose epochs they list themselves
        own = {**own, "train": {key: value for key, value in own.get("train", {}).items() if key != "epochs"}}
    settings = merge(own, over)
    # What a contender says of every head, whatever its name.
    every = settings.pop("every_head", {})
    tagging = settings.pop("tagging_heads", {})
    base["heads"] = {
        name: merge(merge(head, every), tagging if head["kind"] == "tagging" else {}) for name, head in heads.items()
    }
    if job.epochs and settings.get("stages"):
        settings["stages"] = [
            {**stage, "epochs": min(job.epochs, stage.get("epochs", 1))} for stage in settings["stages"]
        ]
    return merge(base, settings)


class Watch:
    """Listens to a run's events: validation figures against seconds since the process was started."""

    def __init__(self) -> None:
        self.curve: list[dict[str, Any]] = []
        self.epochs: list[float] = []
        """Seconds of each epoch, its validation included."""
        self._last = 0.0

    def __call__(self, event: dict[str, Any]) -> None:
        now = seconds_since_start()
        if event["kind"] == "phase" and event["phase"] == "training":
            self._last = now
        if event["kind"] == "epoch":
            self.curve.append({"seconds": now, "epoch": event["epoch"], "metrics": flatten_event(event)})
            self.epochs.append(now - self._last)
            self._last = now
