"""Executors and predictors without torch, whose behaviour the run's name chooses. Named to workers through
CHAIN_EXECUTOR and CHAIN_PREDICTOR."""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from chain_core.config import Config
from chain_core.errors import DataError
from chain_core.training.control import heed

STEPS = 10
DEADLY = ("kill", "segv", "exit")


def execute_run(
    config: Config,
    out: Path,
    *,
    folder: Path,
    emit: Callable[[dict], None],
    read_control: Callable[[], str] = lambda: "",
    resume: bool = False,
    notes: Sequence[dict] = (),
) -> dict:
    """Emits a plausible run of two heads; `slow` in the name makes it last, `crash` fail, and so on."""
    start, word = time.monotonic(), config.name.split("-")[0]
    epochs = config.train.epochs

    def tell(kind: str, **values: Any) -> None:
        emit({"kind": kind, "seconds": time.monotonic() - start, **values})

    if resume:
        tell("resumed", step=0, events=0)  # it keeps no checkpoints
    for note in notes:
        tell("note", **note)
    print("a library prints in the middle of everything")
    os.write(1, b'{"request": 1, "state": "printed by C"}\n')
    tell("phase", phase="reading")
    tell("note", code="texts_truncated", params={"rows": 3, "max_length": 256})
    _misbehave(word)
    tell("phase", phase="features")
    for done in (100, 200):
        tell("progress", phase="features", done=done, total=200)
    tell("phase", phase="training")
    stopped = False
    for number in range(1, epochs * STEPS + 1):
        heed(asked := read_control())
        stopped = stopped or asked == "stop"
        loss = 2.0 * 0.98**number
        losses = {"intent@3": loss / 2, "slots@1": loss / 3, "slots@3": loss / 4}
        tell(
            "step", step=number, epoch=number / STEPS, loss=loss, losses=losses,
            learning_rate=1e-3 * (1 - number / (epochs * STEPS + 1)), rows_per_second=512.3,
            gradient={"links": 0.5 * loss, "heads": 0.7 * loss}, memory={"process": 900_000_000 + 1_000_000 * number},
        )  # fmt: skip
        if number == 15 and (word in DEADLY or (word.startswith("once") and not resume)):
            _die(word.removeprefix("once"))
        if number % STEPS == 0 or stopped:
            validation = {
                "intent@3": {"loss": loss / 2 + 0.1, "accuracy": 1 - loss / 3, "macro_f1": 1 - loss / 2.5},
                "slots@1": {"loss": loss / 3 + 0.1, "entity_f1": 1 - loss / 2.2},
                "slots@3": {"loss": loss / 4 + 0.1, "entity_f1": 1 - loss / 2.4},
            }
            tell(
                "epoch", epoch=-(-number // STEPS), epochs=epochs, step=number, validation=validation,
                score=1 - loss / 2.7, best=True,
            )  # fmt: skip
        if stopped:
            break
        if word == "slow":
            time.sleep(0.05)
    tell("phase", phase="saving")
    report = {"test": {"intent": {"accuracy": 0.9712}, "slots": {"entity_f1": 0.9301}}, "validation": {}}
    out.mkdir(parents=True, exist_ok=True)
    (out / "report.json").write_text(json.dumps(report))
    tell("done", reason="stopped" if stopped else "finished", report=report)
    return report


def _die(how: str) -> None:
    """`kill`, `segv`, or `exit` as a library may."""
    if how == "exit":
        sys.exit(3)
    os.kill(os.getpid(), signal.SIGSEGV if how == "segv" else signal.SIGKILL)


def _misbehave(word: str) -> None:
    if word == "crash":
        raise ValueError("<b>boom</b>")
    if word == "data":
        raise DataError("fraction", path="data.validation", given=2.0)
    if word == "memory":
        raise MemoryError
    if word == "full":
        raise OSError(errno.ENOSPC, "No space left on device")


class FakePredictor:
    """Labels by the text's length; the text `slow` takes long, `kill` ends the process, `bad` is an error."""

    def predict(self, rows: list[dict]) -> list[dict]:
        return [self._predict_row(row) for row in rows]

    def _predict_row(self, row: dict) -> dict:
        text = row.get("text") or " ".join(row.get("tokens", ()))
        if text == "slow":
            time.sleep(60)
        if text == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if text == "bad":
            raise DataError("fraction", path="text", given=0.5)
        if text == "crash":
            raise ValueError("boom")
        words = row.get("tokens") or text.split()
        label = "long <b>" if len(text) > 10 else "short_one"
        chances = {label: 0.91234567, "other *": 0.08765433}
        answer = {"label": label, "confidence": 0.91234567, "probabilities": chances}
        tags = ["B-city" if word.istitle() else "O" for word in words]
        slots = {"tags": tags, "confidence": 0.8}
        return {
            "text": text, "tokens": words,
            "heads": {"intent": {"3": answer}, "slots": {"1": slots, "3": slots}},
        }  # fmt: skip


def load_predictor(run_dir: Path) -> FakePredictor:
    return FakePredictor()
