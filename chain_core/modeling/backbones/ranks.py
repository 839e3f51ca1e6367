"""AdaLoRA's ranks: which of the singular values that it learns are kept (Zhang et al. 2023, arXiv 2303.10512).

All targets begin with `rank` singular values each. From TINIT of all steps on those that matter least are set to zero,
over all targets together, along a cubic course; from 1 - TFINAL on what is left is trained as it is, `final_rank` a
target in the mean. Where a stage ends early there are fewer steps than were planned, and the course is planned anew. A
singular value at zero is one that a loaded bundle has at zero, so nothing else need be kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

TINIT, TFINAL = 0.1, 0.3
"""The paper's lie between 0.05 and 0.15, and 0.2 and 0.6, of all steps."""
ALLOCATIONS = 100
"""About how often the ranks are allocated anew."""
ORTHOGONALITY = 0.5
"""Weight of the penalty, as in peft."""
_SUMS = ("ipt", "exp_avg_ipt", "exp_avg_unc")
"""What peft's allocator has summed up of every weight."""
ADAPTER = "chain"
"""What peft calls the one adapter."""


class RankSchedule:
    """Follows the steps of one training; peft's allocator does the sums."""

    def __init__(self, rank: int, final_rank: int) -> None:
        self.rank, self.final_rank = rank, final_rank
        self.settled = rank == final_rank
        """Whether the ranks are final."""
        self._allocator: Any = None
        self._plan: dict[str, Any] = {}
        self._pattern: dict[str, list[bool]] = {}

    def follow(self, model: nn.Module, step: int, steps: int) -> None:
        """After the optimiser's step number `step` of `steps`, 1 the first, gradients still in place."""
        if self.rank == self.final_rank:
            return
        if self._plan.get("total_step") != steps and not self.settled:
            self._plan = plan_pruning(step - 1, steps)
        allocator = self._allocator = self._allocator or self._build_allocator(model)
        vars(allocator.peft_config).update(self._plan)
        for name, parameter in model.named_parameters():
            if "lora_" in name and parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)  # of a layer that nothing reads
        if self.settled:
            allocator.mask_using_rank_pattern(model, self._pattern)
            return
        allocator.update_ipt(model)
        budget, due = allocator.budget_schedule(step)
        last = steps - self._plan["tfinal"]
        if due or step == last:
            self._pattern = allocator.mask_to_budget(model, budget)
        self.settled = step == last

    def get_state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """How far it has come: what JSON can hold, and the weights' importance as `NAME/WEIGHT`."""
        sums = {name: getattr(self._allocator, name, {}) for name in _SUMS}
        tensors = {f"{name}/{weight}": value for name, part in sums.items() for weight, value in part.items()}
        return {"settled": self.settled, "pattern": self._pattern, "plan": self._plan}, tensors

    def set_state(self, model: nn.Module, state: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """Go on from there."""
        self.settled, self._pattern, self._plan = state["settled"], dict(state["pattern"]), dict(state["plan"])
        self._allocator = self._build_allocator(model) if self._plan else None
        parameters = dict(model.named_parameters())
        for key, value in tensors.items():
            name, _, weight = key.partition("/")
            getattr(self._allocator, name)[weight] = torch.empty_like(parameters[weight]).copy_(value).detach()

    def _build_allocator(self, model: nn.Module) -> Any:
        from peft import AdaLoraConfig
        from peft.tuners.adalora.layer import RankAllocator

        config = AdaLoraConfig(init_r=self.rank, target_r=self.final_rank, **self._plan)
        return RankAllocator(model, config, ADAPTER)


def plan_pruning(done: int, steps: int) -> dict[str, int]:
    """When the ranks are pruned, as peft calls it. `done`: of the steps, those before this plan.

    Where the last allocation would lie among them, it comes after as large a part of the steps that are left.
    """
    last_part = steps if TFINAL * steps < steps - done else steps - done
    return {
        "tinit": int(TINIT * steps),
        "tfinal": int(TFINAL * last_part),
        "deltaT": max(1, steps // ALLOCATIONS),
        "total_step": steps,
    }


def compute_orthogonality(model: nn.Module) -> Tensor:
    """Mean over all factors of ||P P' - 1||: singular vectors should stand at right angles."""
    terms = []
    for name, parameter in model.named_parameters():
        if "lora_A" in name or "lora_B" in name:
            product = parameter @ parameter.T if "lora_A" in name else parameter.T @ parameter
            terms.append((product - torch.eye(len(product), device=product.device)).norm())
    return ORTHOGONALITY * torch.stack(terms).mean()


def count_ranks(model: nn.Module) -> list[int]:
    """Singular values that are not zero, one number a target."""
    return [int((value != 0).sum()) for name, value in model.named_parameters() if "lora_E" in name]
