"""One stage as it goes on: its optimiser and learning rates, its batches, and how far it has come."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping
from typing import Any

import numpy as np

from chain_core.data.cells import build_note
from chain_core.errors import ResourceError
from chain_core.modeling.backbones.sharding import collect_whole
from chain_core.modeling.batch import Batch
from chain_core.modeling.device import explain_memory, is_out_of_memory, release_devices
from chain_core.modeling.failures import alone, is_agreed
from chain_core.modeling.model import ChainModel
from chain_core.training.averaging import Average
from chain_core.training.checkpoint import (
    Checkpoint,
    list_trained,
    read_best,
    read_optimiser,
    read_random,
    restore_best,
    restore_optimiser,
    restore_random,
)
from chain_core.training.control import heed
from chain_core.training.course import Course
from chain_core.training.gauges import compute_gradient_norms, describe_gauges, read_learning_rates
from chain_core.training.losses import Losses, read_loss_weights
from chain_core.training.optimiser import build_optimiser, compute_rate, set_rates
from chain_core.training.outcome import Best
from chain_core.training.pruning import Pruning
from chain_core.training.sampling import group_rows, sample_epoch
from chain_core.training.stages import Stage
from chain_core.training.step import take_step

STEP_EVENTS = 1000
"""About how many step events a run makes, however long it is."""
GAUGES, GAUGES_APART = 200, 5
"""About how many of them tell of gradients and memory as well, and the fewest steps from one to the next: each takes as
long as a few hundredths of the shortest step."""
_COUNTS = ("steps", "epochs", "tuned_steps", "first_step", "first_epoch", "done", "drawn_from")


class Lesson:
    """A stage under way."""

    def __init__(self, stage: Stage, course: Course) -> None:
        self.stage, self.course = stage, course
        self.optimiser = build_optimiser(course.model, stage.settings, course.dtype)
        self._trained = list_trained(course.model, self.optimiser)
        self.average = Average(self._trained, stage.run.average)
        self.best = Best(course.model, keep=course.epoch > 0)
        self.steps, self.epochs, self.tuned_steps = course.steps, course.epochs, course.tuned_steps
        """Of the whole run, as far as could be told when the stage began."""
        self.first_step, self.first_epoch = course.step, course.epoch
        self.done = 0
        """Batches of this epoch that are done."""
        self.drawn = self.planned = stage.steps // stage.settings.epochs
        """Batches of this epoch, and of one in which no row is left out."""
        self.drawn_from: dict[str, Any] | None = None
        """The state that this epoch's batches were drawn from; None between epochs."""
        self.started = time.perf_counter()
        judged = {name: values for name, values in stage.labels.items() if name not in course.language}
        self.pruning = Pruning(judged, stage.feed.encoded.rows, stage.prune, stage.batch_size)
        self._groups = group_rows(stage.labels, stage.rows, stage.settings)

    @property
    def epochs_done(self) -> int:
        """Of this stage, that which goes on with them."""
        return self.course.epoch - self.first_epoch

    @property
    def epochs_gone(self) -> float:
        """As `epochs_done`, of the epoch under way only what is done of it."""
        return self.epochs_done - 1 + self.done / self.drawn

    def train_epoch(self) -> Generator[dict[str, Any], None, bool]:
        """Take a step for each batch of an epoch, or of what is left of one; whether it was stopped.

        Raises Paused, Cancelled.
        """
        stage, course = self.stage, self.course
        begins = self.drawn_from is None
        if begins:
            course.epoch += 1
            self.done, self.drawn_from = 0, read_random(course.random)
        groups = self.pruning.choose(self._groups, course.random)
        batches = sample_epoch(stage.feed.lengths, groups, stage.batch_size, stage.settings, course.random)
        self.drawn = len(batches)
        if begins:
            self.steps -= self.planned - self.drawn
        course.parts.set_mode(stage)
        for rows in batches[self.done :]:
            word = course.read_control()
            heed(word)
            if word == "stop":
                return True
            yield from self._take_step(rows)
            if course.is_due():
                yield self.keep()
        return False

    def end_epoch(self) -> None:
        """What comes next is a new epoch."""
        self.drawn_from = None
        self.pruning.end_epoch(self.course.team)

    def _take_step(self, rows: np.ndarray) -> Generator[dict[str, Any], None, None]:
        """One update; tells of some."""
        stage, course = self.stage, self.course
        before = time.perf_counter()
        set_rates(self.optimiser, compute_rate(stage.settings, round(self.epochs_gone * self.planned), stage.steps))
        course.step += 1
        course.tuned += stage.tunes
        gradients: dict[str, float] = {}
        gauged = self._is_told(GAUGES, GAUGES_APART)
        told = gauged or self._is_told(STEP_EVENTS)
        rates = read_learning_rates(self.optimiser) if told else {}
        batch = stage.feed.draw_batch(rows, course.team.share(len(rows)))
        losses = yield from self._update(batch, len(rows), gradients if gauged else None)
        self.done += 1
        self.average.follow(course.step - self.first_step)
        if told:
            progress = {
                "stage": stage.number, "step": course.step, "steps": self.steps,
                "epoch": self.first_epoch + self.epochs_gone,
            }  # fmt: skip
            event = _describe_step(course.model, progress, losses, len(rows), before)
            event["learning_rate"] = rates.get("chain", rates.get("backbone"))
            yield {**event, **describe_gauges(gradients, rates, course.device)} if gauged else event

    def _is_told(self, about: int, apart: int = 1) -> bool:
        """Whether this step is one of about so many of the whole run."""
        return self.course.step == 1 or self.course.step % max(apart, self.steps // about) == 0

    def _update(
        self, batch: Batch, rows: int, gradients: dict[str, float] | None = None
    ) -> Generator[dict[str, Any], None, Losses]:
        """The update itself, with this process's part of so many rows, in smaller parts where the memory does not
        suffice: tells so. The gradient's norms go to `gradients`, where given. Raises ResourceError where the memory
        does not suffice for a single row."""
        stage, course = self.stage, self.course
        look = None if gradients is None else lambda model: gradients.update(compute_gradient_norms(model, course.team))
        while True:
            try:
                return take_step(
                    course.model, batch, stage.run, self.optimiser, course.device, course.dtype,
                    anchors=course.anchors, progress=(course.tuned, self.tuned_steps) if stage.tunes else None,
                    parts=course.accumulate, read=stage.feed.read_batch, look=look, team=course.team, rows=rows,
                    scale=course.scale, note=self.pruning.note if self.pruning.listens(len(stage.rows)) else None,
                )  # fmt: skip
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                if course.team.size > 1 and not is_agreed(error):
                    raise alone(self._explain_short()) from error
                if course.accumulate * course.team.size >= rows:
                    raise explain_memory(course.device, stage.batch_size) from error
            # Not before the error is gone, which holds on to all that the step had computed.
            self.optimiser.zero_grad(set_to_none=True)
            release_devices()
            course.accumulate *= 2
            each = -(-stage.batch_size // (course.accumulate * course.team.size))
            yield {"kind": "note", **build_note("memory_short", parts=course.accumulate, rows=each)}

    def _explain_short(self) -> ResourceError:
        """Memory was short in the midst of a pass that the other processes cannot make without this one."""
        team, size = self.course.team, self.stage.batch_size
        numbers = {"process": team.rank + 1, "processes": team.size, "parts": self.course.accumulate}
        return ResourceError("memory_sharded", batch_size=size, more=2 * self.course.accumulate, **numbers)

    # ---- checkpoints: between two steps, or before an epoch is judged

    def keep(self, *, needed: bool = False) -> dict[str, Any]:
        """Have a checkpoint taken, as `Course.keep`."""
        groups, moments = read_optimiser(self.optimiser)
        best, weights = read_best(self.best)
        parts = {"optimiser": moments, "best": weights, "average": self.average.get_state()}
        tensors = {name: collect_whole(part, self.course.team) for name, part in parts.items()}
        lesson = {
            **{name: getattr(self, name) for name in _COUNTS},
            "seconds": time.perf_counter() - self.started,
            "optimiser": groups,
            "trained": list(self._trained),
            "best": best,
            "feed": read_random(random) if (random := self.stage.feed.draws) is not None else None,
        }
        self.pruning.share_out(self.course.team)
        return self.course.keep(lesson, {**tensors, "errors": self.pruning.get_state()}, needed=needed)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go back to where the checkpoint was taken, within this stage."""
        state, tensors = checkpoint.state["lesson"], checkpoint.tensors
        for name in _COUNTS:
            setattr(self, name, state[name])
        self.started = time.perf_counter() - state["seconds"]
        restore_optimiser(
            self.optimiser, state["optimiser"], tensors.get("optimiser", {}), state.get("trained"), list(self._trained)
        )  # fmt: skip
        self.average.set_state(tensors.get("average", {}))
        restore_best(self.best, state["best"], tensors.get("best", {}))
        self.pruning.set_state(tensors.get("errors", {}))
        if self.stage.feed.draws is not None:
            restore_random(self.stage.feed.draws, state["feed"])
        restore_random(self.course.random, state["drawn_from"])  # the epoch draws its batches again


def _describe_step(model: ChainModel, progress: Mapping[str, Any], losses, rows: int, before: float) -> dict[str, Any]:
    return {
        "kind": "step",
        **progress,
        "loss": float(losses[("", 0)]),
        "losses": {f"{head}@{depth}": float(loss) for (head, depth), loss in losses.items() if head},
        **({"weights": read_loss_weights(model)} if model.log_variances is not None else {}),
        "rows_per_second": rows / (time.perf_counter() - before),
    }
