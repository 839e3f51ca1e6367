"""The peers that tune: transformers' Trainer, with PEFT's LoRA or in full, for one task or for all jointly.

Settings: `tuning` lora | full; `rank`, `alpha`, `dropout` of LoRA; `epochs`, `batch_size`, `learning_rate` (of the
backbone's parameters), `head_learning_rate`; `bf16` where the machine has it; `pad` to a length instead of to the
longest row of a batch; `grouped` by length; `attention`, transformers' implementation; `cap_seconds`: train no longer
than this and extrapolate the rest.
"""

from __future__ import annotations

import contextlib
import math
import time
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn
from transformers import AutoTokenizer, Trainer, TrainerCallback, TrainingArguments, set_seed

from chain_core.modeling.backbones.catalogue import find_folder, read_facts
from tests.benchmarks.jobs import Job, Result
from tests.benchmarks.measure import (
    describe_machine,
    has_native_bf16,
    measure_folder_mb,
    read_cpu_seconds,
    read_memory,
    seconds_since_start,
)
from tests.benchmarks.plain import Examples, PlainModel, build_tasks, load_auto_model, predict
from tests.benchmarks.rows import DATA, read_rows
from tests.benchmarks.score import choose_score, score_rows

DEFAULTS: dict[str, Any] = {
    "tuning": "lora", "rank": 16, "alpha": 32.0, "dropout": 0.05, "epochs": 8, "batch_size": 32, "learning_rate": 1e-3,
    "head_learning_rate": None, "bf16": True, "pad": None, "grouped": True, "attention": None, "cap_seconds": None,
}  # fmt: skip
WEIGHT_DECAY = 0.01
WARMUP = 0.1
EVALUATION_BATCH = 64


def run_trainer(job: Job, work: Path) -> Result:
    imports = seconds_since_start()
    settings = {**DEFAULTS, **job.settings, **({"epochs": job.epochs} if job.epochs else {})}
    spec, rows = DATA[job.data], read_rows(job.data, job.rows)
    heads = {name: head for name, head in spec.heads.items() if not job.tasks or name in job.tasks}
    set_seed(job.seed)
    tokenizer = AutoTokenizer.from_pretrained(str(find_folder(job.backbone)))
    length = spec.input.get("max_length") or read_facts(job.backbone).max_length
    tasks = build_tasks(heads, rows["train"])
    sets = {split: Examples(part, spec.input, tokenizer, tasks, length) for split, part in rows.items()}
    model = build_model(job.backbone, settings, tasks)
    cast = _choose_cast(settings)
    keeper = Keeper(model, sets["validation"], heads, rows["validation"], cast, settings["cap_seconds"])
    trainer = Trainer(
        model=model,
        args=build_arguments(settings, work / "trainer", job.seed),
        train_dataset=sets["train"],
        data_collator=partial(sets["train"].collate, length=settings["pad"]),
        callbacks=[keeper],
        optimizers=(build_optimiser(model, settings), None),
    )
    began = time.perf_counter()
    trainer.train()
    training = time.perf_counter() - began
    result: Result = {
        "curve": keeper.curve,
        "validation": {},
        "test": {},
        "seconds": {"imports": imports, "training": training, "epochs": keeper.epochs},
    }
    if keeper.capped:
        result["extrapolated"] = keeper.extrapolate(settings["epochs"])
    else:
        keeper.restore(model)
        for split in ("validation", "test"):
            answers = predict(model, sets[split], EVALUATION_BATCH, cast, trainer.args.device)
            result[split], right = score_rows(heads, rows[split], answers)
            result.setdefault("right", {})[split] = right
        result["best_epoch"] = keeper.best_epoch
    save_trained(model, work / "model")
    result["seconds"]["cpu"] = read_cpu_seconds()
    total = seconds_since_start()
    result["seconds"]["total"] = total + result.get("extrapolated", {}).get("seconds_added", 0.0)
    return {
        **result,
        **read_memory(),
        "trainable": sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad),
        "disk_mb": {
            "kept": measure_folder_mb(work / "model"),
            "written": measure_folder_mb(work / "model") + measure_folder_mb(work / "trainer"),
        },
        "machine": describe_machine(),
    }


def build_model(backbone: str, settings: dict[str, Any], tasks: Any) -> PlainModel:
    """The backbone, tuned as the settings say, under new heads."""
    model = load_auto_model(find_folder(backbone), attention=settings["attention"])
    width = read_facts(backbone).hidden_size
    if settings["tuning"] == "lora":
        from peft import LoraConfig, TaskType, get_peft_model

        lora = LoraConfig(
            task_type=TaskType.FEATURE_EXTRACTION,
            r=settings["rank"],
            lora_alpha=settings["alpha"],
            lora_dropout=settings["dropout"],
            target_modules="all-linear",
        )
        model = get_peft_model(model, lora)
    return PlainModel(model, width, tasks)


def build_arguments(settings: dict[str, Any], folder: Path, seed: int) -> TrainingArguments:
    return TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=settings["epochs"],
        per_device_train_batch_size=settings["batch_size"],
        warmup_steps=WARMUP,
        lr_scheduler_type="linear",
        bf16=settings["bf16"] and has_native_bf16(),
        train_sampling_strategy="group_by_length" if settings["grouped"] else "random",
        max_grad_norm=1.0,
        seed=seed,
        use_cpu=not torch.cuda.is_available(),
        report_to="none",
        save_strategy="no",
        logging_strategy="no",
        remove_unused_columns=False,
        disable_tqdm=True,
    )


def build_optimiser(model: nn.Module, settings: dict[str, Any]) -> torch.optim.AdamW:
    """AdamW; no decay on vectors; the heads at a rate of their own."""
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups.setdefault((name.startswith("heads."), parameter.ndim > 1), []).append(parameter)
    rates = {False: settings["learning_rate"], True: settings["head_learning_rate"] or settings["learning_rate"]}
    return torch.optim.AdamW(
        [
            {"params": parameters, "lr": rates[of_head], "weight_decay": WEIGHT_DECAY if matrix else 0.0}
            for (of_head, matrix), parameters in groups.items()
        ],
        fused=True,
    )


def _choose_cast(settings: dict[str, Any]):
    """Evaluation multiplies in the precision of training."""
    if settings["bf16"] and has_native_bf16():
        return partial(torch.autocast, "cuda" if torch.cuda.is_available() else "cpu", torch.bfloat16)
    return contextlib.nullcontext


class Keeper(TrainerCallback):
    """Scores the validation rows after every epoch and keeps the best weights; ends training at the cap."""

    def __init__(self, model: PlainModel, examples: Examples, heads, rows, cast, cap: float | None) -> None:
        self.model, self.examples, self.heads, self.rows, self.cast, self.cap = model, examples, heads, rows, cast, cap
        self.curve: list[dict[str, Any]] = []
        self.epochs: list[float] = []
        self.best_epoch = 0
        self.capped = False
        self._best: tuple[float, dict[str, torch.Tensor]] = (-math.inf, {})
        self._began = self._last = self._warm = 0.0
        self._steps = self._per_epoch = 0

    def on_train_begin(self, args, state, control, **_: Any) -> None:
        self._began = self._last = time.perf_counter()
        self._per_epoch = state.max_steps // max(int(args.num_train_epochs), 1)

    def on_step_end(self, args, state, control, **_: Any) -> None:
        now = time.perf_counter()
        if state.global_step == 1:
            self._warm = now  # the first step pays for what torch sets up
        self._steps = state.global_step
        if self.cap is not None and now - self._began > self.cap and state.global_step > 1:
            self.capped = True
            self._last = now
            control.should_training_stop = True

    def on_epoch_end(self, args, state, control, **_: Any) -> None:
        if self.capped:
            return
        answers = predict(self.model, self.examples, EVALUATION_BATCH, self.cast, args.device)
        flat, _ = score_rows(self.heads, self.rows, answers)
        epoch = len(self.curve) + 1
        self.curve.append({"seconds": seconds_since_start(), "epoch": epoch, "metrics": flat})
        now = time.perf_counter()
        self.epochs.append(now - self._last)
        self._last = now
        score = choose_score(flat)
        if score > self._best[0]:
            self.best_epoch = epoch
            kept = {
                name: value.detach().clone() for name, value in self.model.named_parameters() if value.requires_grad
            }
            self._best = (score, kept)
        self.model.train()

    def restore(self, model: PlainModel) -> None:
        model.load_state_dict(self._best[1], strict=False)

    def extrapolate(self, epochs: int) -> dict[str, float]:
        """Seconds of all epochs from those of the steps that were done; evaluation not counted."""
        step = (self._last - self._warm) / max(self._steps - 1, 1)
        return {
            "steps_done": self._steps,
            "steps": self._per_epoch * epochs,
            "seconds_per_epoch": step * self._per_epoch,
            "seconds_added": step * (self._per_epoch * epochs - self._steps),
        }


def save_trained(model: PlainModel, folder: Path) -> None:
    """What a user would keep: the adapter or the whole backbone, and the heads."""
    folder.mkdir(parents=True, exist_ok=True)
    model.backbone.save_pretrained(folder)
    save_file(
        {name: value.contiguous() for name, value in model.heads.state_dict().items()}, folder / "heads.safetensors"
    )
