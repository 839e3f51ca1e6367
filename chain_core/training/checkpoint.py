"""A checkpoint: all that a run must know to go on as if it had never left off, as plain values.

What can be built again from the config and the data (the model's shape, the plan of its stages, an epoch's batches) is
not kept; what training has changed is: weights, the optimiser's moments, random states, how far everything has come.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from chain_core.modeling.backbones.sharding import share_one, share_out
from chain_core.modeling.model import ChainModel
from chain_core.storage.folders import is_whole, write_folder
from chain_core.storage.weights import write_tensors
from chain_core.training.outcome import Best, StageOutcome

VERSION = 2
"""Of what is kept and how: a checkpoint of another version is not read."""
STATE = "state.json"
Tensors = Mapping[str, Tensor]


@dataclass(frozen=True)
class Checkpoint:
    """Where a run has come to."""

    state: Mapping[str, Any]
    """What JSON can hold: numbers, words, numpy's generators."""
    tensors: Mapping[str, Tensors]
    """weights, optimiser, best, average, errors, random, ranks: name -> tensor."""

    @property
    def step(self) -> int:
        return self.state["step"]


class Keeper(Protocol):
    """Decides when a checkpoint is due, and takes it."""

    def is_due(self, step: int) -> bool:
        """Whether the time or the step for one has come. Cheap."""

    def keep(self, checkpoint: Checkpoint) -> None:
        """Put it where a crash cannot reach it."""


# ---- as files


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> Path:
    """Write it as a folder, all or nothing: the folder. Raises OSError where the disk does not take it."""

    def fill(draft: Path) -> None:
        for name, tensors in checkpoint.tensors.items():
            if tensors:
                write_tensors(draft / f"{name}.safetensors", _separate(tensors))
        text = json.dumps({"version": VERSION, **checkpoint.state}, allow_nan=True)
        (draft / STATE).write_text(text, encoding="utf-8")

    return write_folder(folder, fill)


def load_checkpoint(folder: Path) -> Checkpoint | None:
    """A checkpoint's folder read back; None where it is damaged or of another version."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not is_whole(folder):
        return None
    try:
        state = json.loads((folder / STATE).read_text(encoding="utf-8"))
        # Copies: what a memory map gives lies where it likes, and its file is soon gone.
        tensors = {
            path.stem: {name: value.clone() for name, value in load_file(str(path)).items()}
            for path in sorted(folder.glob("*.safetensors"))
        }
    except (OSError, ValueError, SafetensorError):
        return None
    return Checkpoint(state, tensors) if state.pop("version", None) == VERSION else None


def _separate(tensors: Tensors) -> dict[str, Tensor]:
    """The tensors on the CPU, none sharing memory with another."""
    seen: set[int] = set()
    separate = {}
    for name, value in tensors.items():
        plain = value.detach().cpu().contiguous()
        separate[name] = plain.clone() if plain.data_ptr() in seen else plain
        seen.add(plain.data_ptr())
    return separate


# ---- parts of a run as plain values


def read_weights(model: ChainModel) -> Tensors:
    """All that training changes: what a bundle keeps, and buffers."""
    buffers = {name for name, _ in model.named_buffers() if not name.startswith("borrowed.")}
    return {**{name: value for name, value in model.state_dict().items() if name in buffers}, **model.get_saved()}


def read_optimiser(optimiser: torch.optim.Optimizer) -> tuple[list[dict[str, Any]], Tensors]:
    """The groups' settings, and the moments as `PARAMETER.NAME`."""
    whole = optimiser.state_dict()
    moments = {f"{index}.{name}": value for index, state in whole["state"].items() for name, value in state.items()}
    return whole["param_groups"], moments


def list_trained(model: ChainModel, optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimiser's parameters by their names, in its order."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return {names[id(parameter)]: parameter for group in optimiser.param_groups for parameter in group["params"]}


def restore_optimiser(
    optimiser: torch.optim.Optimizer,
    groups: Sequence[Mapping[str, Any]],
    moments: Tensors,
    before: Sequence[str] | None,
    now: Sequence[str],
) -> None:
    """`before` and `now`: names of the parameters then and now, in the optimisers' order, which is another where only
    one of the two shares layers out; None: the same.

    Moments are laid out in memory as their parameters are: the fused update goes through both side by side.
    """
    places = {name: index for index, name in enumerate(now)}
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in moments.items():
        index, _, name = key.partition(".")
        number = int(index) if before is None else places[before[int(index)]]
        state.setdefault(number, {})[name] = value
    settings = {_name_group(group): {**group, "betas": tuple(group["betas"])} for group in groups}
    own = optimiser.state_dict()["param_groups"]
    told = [{**group, **settings[_name_group(group)], "params": group["params"]} for group in own]
    optimiser.load_state_dict({"state": state, "param_groups": told})
    for parameter, values in optimiser.state.items():
        for name, value in values.items():
            if value.shape == parameter.shape and name != "step":
                values[name] = torch.empty_like(parameter).copy_(share_one(value, parameter))


def _name_group(group: Mapping[str, Any]) -> tuple[str, float, bool]:
    """What groups of the same settings have in common."""
    return group["part"], group["weight_decay"], group.get("orthogonal", False)


def read_torch_random(device: torch.device) -> Tensors:
    """The states of torch's generators."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    if device.type == "mps":
        states["mps"] = torch.mps.get_rng_state()
    return states


def restore_torch_random(states: Tensors, device: torch.device) -> None:
    torch.set_rng_state(states["cpu"])
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)
    if device.type == "mps" and "mps" in states:
        torch.mps.set_rng_state(states["mps"])


def name_randoms(states: Sequence[Tensors]) -> Tensors:
    """The generators' states of all processes, by rank: those of the first under their own names, then `cpu@1`, …"""
    return {
        f"{name}@{rank}" if rank else name: value for rank, part in enumerate(states) for name, value in part.items()
    }


def pick_random(states: Tensors, rank: int) -> Tensors:
    """One process's own; empty where there was no such process."""
    named = {tuple(name.partition("@")[::2]): value for name, value in states.items()}
    return {name: value for (name, number), value in named.items() if number == (str(rank) if rank else "")}


def count_processes(checkpoint: Checkpoint) -> int:
    """How many had trained."""
    return 1 + sum(name.startswith("cpu@") for name in checkpoint.tensors["random"])


def read_random(random: np.random.Generator) -> dict[str, Any]:
    return dict(random.bit_generator.state)


def restore_random(random: np.random.Generator, state: Mapping[str, Any]) -> None:
    random.bit_generator.state = state


def read_best(best: Best) -> tuple[dict[str, Any], Tensors]:
    keys = ("score", "epoch", "risen", "validation", "settled")
    return {key: getattr(best, key) for key in keys}, best.weights


def restore_best(best: Best, state: Mapping[str, Any], weights: Tensors) -> None:
    for key, value in {"risen": state["epoch"], **state}.items():
        setattr(best, key, value)
    device = next(best.model.parameters()).device
    here = {name: value.to(device) for name, value in weights.items()}
    best.weights = share_out(here, best.model.state_dict())


def read_outcomes(outcomes: Sequence[StageOutcome]) -> list[dict[str, Any]]:
    return [asdict(outcome) for outcome in outcomes]


def restore_outcomes(listed: Sequence[Mapping[str, Any]]) -> list[StageOutcome]:
    return [StageOutcome(**entry) for entry in listed]
