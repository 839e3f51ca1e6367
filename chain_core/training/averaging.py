"""The mean of the weights that training has passed through: what is judged, kept and taken home instead of the last.

Single steps of a high learning rate scatter around a better point than any of them; their mean lies near it, with no
need for the rate to fall. Polynomial-decay averaging (Shamir & Zhang 2013, arXiv 1212.1824): about the latest `share`
of all steps so far count, whose number so grows with training. With share = 1 / (η + 1), 1 is the plain mean (Polyak &
Juditsky 1992).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from chain_core.modeling.backbones.sharding import get_own, share_out


class Average:
    """The mean of what one stage trains; with a share of 0 there is none, and the weights stay as they are."""

    def __init__(self, trained: Mapping[str, Tensor], share: float) -> None:
        self.share = share
        self._trained = trained if share else {}
        self._means = {name: parameter.detach().clone() for name, parameter in self._trained.items()}

    @torch.no_grad()
    def follow(self, step: int) -> None:
        """Take in the weights that a step has led to; the stage's first is 1."""
        if self._means:
            means, weights = self._list_pairs()
            torch._foreach_lerp_(means, weights, 1 / (1 + self.share * (step - 1)))

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within, the model holds the mean."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    @torch.no_grad()
    def _exchange(self) -> None:
        """In place and one by one: the optimiser's update goes through weights and moments as they lie in memory."""
        for mean, weight in zip(*self._list_pairs(), strict=True):
            kept = weight.clone()
            weight.copy_(mean)
            mean.copy_(kept)

    def _list_pairs(self) -> tuple[list[Tensor], list[Tensor]]:
        """The means and the weights, of shared-out ones this process's parts."""
        weights = [get_own(parameter.detach()) for parameter in self._trained.values()]
        return [get_own(mean) for mean in self._means.values()], weights

    def get_state(self) -> dict[str, Tensor]:
        """The mean of each weight by its name, for a checkpoint."""
        return self._means

    def set_state(self, means: Mapping[str, Tensor]) -> None:
        """Go on with these means."""
        here = {name: value.to(self._means[name].device) for name, value in means.items() if name in self._means}
        self._means.update(share_out(here, self._means))
