"""Loss scaling: float16 loses gradients below 6e-8, so the loss is made larger before its gradient is taken, and the
gradient smaller again after it (Micikevicius et al. 2018, arXiv 1710.03740).

The factor finds itself: where a gradient comes out too large for float16 the step is left out and the factor halved;
after many steps without, it is doubled. Numbers as in torch's GradScaler, which cannot take a model of which only some
tensors are shared out among processes.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from chain_core.errors import ConfigError
from chain_core.modeling.backbones.sharding import get_own
from chain_core.modeling.model import ChainModel
from chain_core.modeling.team import Team

FIRST = 2.0**16
DOUBLED_AFTER = 2000
"""Steps."""
LEAST = 2.0**-10
"""A gradient that is too large for float16 even so comes of a pass that went wrong."""


class LossScale:
    """The factor of one run, the same in all its processes. Without float16 it is 1 and stays so."""

    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        self.used = dtype == torch.float16
        self.factor = FIRST if self.used else 1.0
        self._steps = 0
        """Since it last changed."""

    def apply(self, loss: Tensor) -> Tensor:
        """What to take the gradient of."""
        return loss * self.factor if self.used else loss

    @torch.no_grad()
    def undo(self, model: ChainModel, team: Team) -> bool:
        """Make the summed gradient that of the loss, in place; whether it is finite, so that a step can be taken.

        Raises ConfigError where no factor helps.
        """
        if not self.used:
            return True
        gradients = [get_own(parameter.grad) for parameter in model.parameters() if parameter.grad is not None]
        overflow = torch.zeros(1, device=gradients[0].device)
        shrink = torch.full_like(overflow, 1 / self.factor)
        torch._amp_foreach_non_finite_check_and_unscale_(gradients, overflow, shrink)
        if model.sharded:
            team.add(overflow)
        finite = not overflow.item()
        self._adapt(finite=finite)
        return finite

    def _adapt(self, *, finite: bool) -> None:
        self._steps += 1
        if not finite:
            self.factor, self._steps = self.factor / 2, 0
        elif self._steps == DOUBLED_AFTER:
            self.factor, self._steps = self.factor * 2, 0
        if self.factor < LEAST:
            raise ConfigError("gradient_overflows", path="train.precision")

    def get_state(self) -> dict[str, Any] | None:
        """For a checkpoint; None where it is not used."""
        return {"factor": self.factor, "steps": self._steps} if self.used else None

    def set_state(self, state: dict[str, Any] | None) -> None:
        """Go on from there; from the first factor where the run did not use one before."""
        if self.used and state is not None:
            self.factor, self._steps = state["factor"], state["steps"]


UNSCALED = LossScale()
