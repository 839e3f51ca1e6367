"""Which rows an epoch leaves out: most of those that all heads already get right.

From the second epoch on, a row is left out with a fixed probability, for that epoch, if when it was last seen each of
its heads was less wrong about it than about its rows in the mean. So none is forgotten, and no head's units matter. How
wrong a head is tells `losses.compute_errors`: Paul et al. 2021 (arXiv 2107.07075, EL2N), with the largest error instead
of the norm. The mean as the limit and the draw are InfoBatch's (Qin et al. 2024, arXiv 2303.04947); rows that stay do
not count more for those that go, whose gradient is small, as in Jiang et al. 2019 (arXiv 1910.00762).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from chain_core.config import LEAST_BATCHES
from chain_core.modeling.team import Team
from chain_core.training.feed import Labels, find_labelled

Errors = Mapping[str, np.ndarray]
"""Head -> how wrong it is about each of some rows, float32."""


class Pruning:
    """What is known of the rows of one stage."""

    def __init__(self, labels: Mapping[str, Labels], rows: int, share: float, batch_size: int) -> None:
        self.labels = labels if share else {}
        self.share = share
        """Probability with which a row of little error is left out, at most."""
        self.least = LEAST_BATCHES * batch_size
        self.known: dict[str, np.ndarray] = {name: np.full(rows, np.nan, np.float32) for name in self.labels}
        """Head -> (N,) each row's error as of this epoch's beginning, NaN where it has not come up."""
        self.seen: dict[str, np.ndarray] = {name: values.copy() for name, values in self.known.items()}
        """The same as this epoch has found it, the largest where a row came up several times."""

    def choose(self, groups: Sequence[np.ndarray], random: np.random.Generator) -> list[np.ndarray]:
        """What is left of each group of row numbers for one epoch; groups of which nothing is left go."""
        rows = np.concatenate(groups)
        if not self.listens(len(rows)):
            return list(groups)
        limits = self._compute_limits(rows)
        easy = [self._is_easy(group, limits) for group in groups]
        share = min(self.share, (len(rows) - self.least) / max(np.concatenate(easy).sum(), 1))
        kept = [group[~(part & (random.random(len(group)) < share))] for group, part in zip(groups, easy, strict=True)]
        return [group for group in kept if len(group)] or list(groups)

    def _compute_limits(self, rows: np.ndarray) -> dict[str, float]:
        """Head -> its mean error over the rows that bear its label, of those that have come up."""
        limits = {}
        for name, known in self.known.items():
            errors = known[rows[find_labelled(self.labels[name], rows)]]
            errors = errors[~np.isnan(errors)]
            limits[name] = float(errors.mean(dtype=np.float64)) if len(errors) else 0.0
        return limits

    def _is_easy(self, rows: np.ndarray, limits: Mapping[str, float]) -> np.ndarray:
        easy = np.ones(len(rows), bool)
        for name, known in self.known.items():
            # A head that is wrong about none has nothing to say. Of a row that has not come up nothing is said: NaN.
            easy &= (known[rows] < limits[name]) | (known[rows] == 0)
        return easy

    def listens(self, rows: int) -> bool:
        """Whether errors matter: where a stage has no more than so many rows, all of them are shown."""
        return bool(self.labels) and rows > self.least

    def note(self, rows: np.ndarray, errors: Errors) -> None:
        """Rows of a batch, (B,), and each head's errors, (B,)."""
        for name, values in errors.items():
            self.seen[name][rows] = np.fmax(self.seen[name][rows], values)

    def share_out(self, team: Team) -> None:
        """Let every process know what each of them has seen."""
        if self.labels and team.size > 1:
            found = team.gather(self.seen)
            self.seen = {name: np.fmax.reduce([each[name] for each in found]) for name in self.seen}

    def end_epoch(self, team: Team) -> None:
        """What this epoch has found is what the next begins with."""
        self.share_out(team)
        for name, seen in self.seen.items():
            self.known[name] = np.where(np.isnan(seen), self.known[name], seen)
            self.seen[name] = np.full_like(seen, np.nan)

    def get_state(self) -> dict[str, Tensor]:
        """What is known, for a checkpoint, as `known.HEAD` and `seen.HEAD`."""
        parts = {"known": self.known, "seen": self.seen}
        return {f"{part}.{name}": torch.from_numpy(values) for part in parts for name, values in parts[part].items()}

    def set_state(self, state: Mapping[str, Tensor]) -> None:
        """Go on with what was known."""
        parts = {"known": self.known, "seen": self.seen}
        for key, values in state.items():
            part, _, name = key.partition(".")
            if name in parts[part]:
                parts[part][name] = values.numpy().copy()
