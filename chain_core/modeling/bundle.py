"""A trained chain as a folder: what it is asked to do, what it predicts, and the weights it learned.

model/
  config.yaml           the run's complete config
  tasks.json            the heads' label spaces
  chain.safetensors     links, heads and the backbone's tuned weights; the frozen rest comes from the backbone
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor

from chain_core.config import Config, dump_yaml, load_yaml, restore_config
from chain_core.data.schema import Task
from chain_core.errors import ChainError, RunError
from chain_core.modeling.backbones.catalogue import BackboneFacts, read_facts
from chain_core.modeling.model import ChainModel, build_model
from chain_core.storage.weights import write_tensors

WEIGHTS = "chain.safetensors"


def save_bundle(
    folder: Path,
    model: ChainModel,
    config: Config,
    tasks: Sequence[Task],
    facts: BackboneFacts,
    saved: Mapping[str, Tensor] | None = None,
) -> None:
    """Write the folder; the weights last, so a folder with weights is whole. `saved`: the model's, where it does not
    hold them whole itself."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(dump_yaml(config), encoding="utf-8")
    (folder / "tasks.json").write_text(
        json.dumps([asdict(task) for task in tasks], ensure_ascii=False, indent=1), encoding="utf-8"
    )
    weights = {name: value.detach().cpu().contiguous() for name, value in (saved or model.get_saved()).items()}
    temporary = folder / f"{WEIGHTS}.tmp"
    chain = model.chain
    metadata = {
        "backbone": facts.name,
        "format": "pt",
        "active_depth": str(chain.active_depth),
        "answering": " ".join(sorted(chain.answering_heads)),
    }
    write_tensors(temporary, weights, metadata)
    temporary.replace(folder / WEIGHTS)


def load_bundle(folder: Path) -> tuple[ChainModel, Config, tuple[Task, ...], BackboneFacts]:
    """The trained model, ready to predict. Raises RunError for a folder that is no whole bundle."""
    from safetensors import SafetensorError, safe_open
    from safetensors.torch import load_file

    try:
        config = restore_config(load_yaml((folder / "config.yaml").read_text(encoding="utf-8")))
        tasks = tuple(_read_task(entry) for entry in json.loads((folder / "tasks.json").read_text(encoding="utf-8")))
        weights = load_file(str(folder / WEIGHTS))
        with safe_open(str(folder / WEIGHTS), "pt") as file:
            metadata = file.metadata() or {}
            active_depth = int(metadata.get("active_depth", config.chain.depth))
    except (OSError, ValueError, KeyError, TypeError, SafetensorError):
        raise RunError("bundle_unreadable", folder=str(folder)) from None
    facts = read_facts(config.backbone.name)
    try:
        model = build_model(config, tasks, facts)
        _, unexpected = model.load_state_dict(weights, strict=False)
    except (RuntimeError, ChainError):
        raise RunError("bundle_unfit", folder=str(folder), backbone=facts.name) from None
    if unexpected or set(model.get_saved()) - set(weights):
        raise RunError("bundle_unfit", folder=str(folder), backbone=facts.name)
    model.chain.active_depth = active_depth
    if "answering" in metadata:
        model.chain.answering_heads = frozenset(metadata["answering"].split())
    return model.eval(), config, tasks, facts


def _read_task(entry: dict[str, Any]) -> Task:
    return Task(**{**entry, "label_space": tuple(entry["label_space"]), "notes": tuple(entry["notes"])})
