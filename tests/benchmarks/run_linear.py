"""The cheapest peer: scikit-learn's logistic regression on the frozen backbone's mean-pooled vectors.

The strength of its regularisation is chosen on the validation rows. Classification only.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from transformers import AutoTokenizer

from chain_core.modeling.backbones.catalogue import find_folder, read_facts
from tests.benchmarks.jobs import Job, Result
from tests.benchmarks.measure import (
    describe_machine,
    has_native_bf16,
    read_cpu_seconds,
    read_memory,
    seconds_since_start,
)
from tests.benchmarks.plain import Examples, load_auto_model, pool
from tests.benchmarks.rows import DATA, read_rows
from tests.benchmarks.score import choose_score, score_rows

STRENGTHS = (0.001, 0.01, 0.1, 1.0, 10.0)
"""scikit-learn's C."""
BATCH = 64


def run_linear(job: Job, work: Path) -> Result:
    imports = seconds_since_start()
    spec, rows = DATA[job.data], read_rows(job.data, job.rows)
    heads = {
        name: head
        for name, head in spec.heads.items()
        if head["kind"] == "classification" and (not job.tasks or name in job.tasks)
    }
    tokenizer = AutoTokenizer.from_pretrained(str(find_folder(job.backbone)))
    length = spec.input.get("max_length") or read_facts(job.backbone).max_length
    model = load_auto_model(find_folder(job.backbone))
    vectors = {
        split: compute_vectors(model, Examples(part, spec.input, tokenizer, (), length)) for split, part in rows.items()
    }
    features = seconds_since_start() - imports
    answers: dict[str, dict[str, list[str]]] = {"validation": {}, "test": {}}
    trainable = 0
    for name, head in heads.items():
        best = fit(vectors, rows, head["column"], {name: head}, job.seed)
        for split, found in answers.items():
            found[name] = best.predict(vectors[split]).tolist()
        coefficients = best[-1]
        trainable += coefficients.coef_.size + coefficients.intercept_.size
    result: dict[str, Any] = {}
    for split, found in answers.items():
        result[split], right = score_rows(heads, rows[split], found)
        result.setdefault("right", {})[split] = right
    total = seconds_since_start()
    return {
        **result,
        "curve": [{"seconds": total, "epoch": 1, "metrics": result["validation"]}],
        "best_epoch": 1,
        "seconds": {
            "imports": imports, "features": features, "training": total - imports - features, "epochs": [],
            "cpu": read_cpu_seconds(), "total": total,
        },
        **read_memory(),
        "trainable": int(trainable),
        "disk_mb": {"kept": trainable * 8 / 1e6, "written": trainable * 8 / 1e6},
        "machine": describe_machine(),
    }  # fmt: skip


@torch.inference_mode()
def compute_vectors(model: torch.nn.Module, examples: Examples) -> np.ndarray:
    """(N, H) float32: the mean of each row's last layer."""
    model.eval()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model.to(device)
    cast = torch.autocast(device, torch.bfloat16) if has_native_bf16() else contextlib.nullcontext()
    order = sorted(range(len(examples)), key=lambda row: -len(examples.ids[row]))
    vectors: np.ndarray | None = None
    for start in range(0, len(order), BATCH):
        rows = order[start : start + BATCH]
        batch = examples.collate([examples[row] for row in rows])
        ids, mask = batch["input_ids"].to(device), batch["attention_mask"].to(device)
        with cast:
            hidden = model(input_ids=ids, attention_mask=mask).last_hidden_state
        pooled = pool(hidden.float(), mask).cpu().numpy()
        if vectors is None:
            vectors = np.zeros((len(order), pooled.shape[1]), np.float32)
        vectors[rows] = pooled
    assert vectors is not None
    return vectors


def fit(vectors, rows, column: str, heads, seed: int):
    """The pipeline with the strength that scores highest on validation."""
    best, score = None, -1.0
    for strength in STRENGTHS:
        model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=1000, random_state=seed))
        model.fit(vectors["train"], [row[column] for row in rows["train"]])
        found = model.predict(vectors["validation"]).tolist()
        flat, _ = score_rows(heads, rows["validation"], {next(iter(heads)): found})
        if choose_score(flat) > score:
            best, score = model, choose_score(flat)
    return best
