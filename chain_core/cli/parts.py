"""What the commands share: reading a config, naming a folder, showing how far a run is and how it ends."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from typing import Any

from chain_core.errors import ChainError, ConfigError
from chain_core.messages import render
from chain_core.paths import MOST_NAME_BYTES


def read_config(path: Path, overrides: list[str]) -> dict[str, Any]:
    """A YAML file's mapping, `KEY=VALUE` laid over it. Raises ConfigError where it cannot be read."""
    from chain_core.config import apply_overrides, load_yaml

    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise ConfigError("config_unreadable", file=str(path), reason=reason) from None
    return apply_overrides(load_yaml(text), overrides)


def get_status(error: BaseException) -> int:
    """The exit status of a command that ends with an error."""
    return 2 if isinstance(error, ChainError) else 130 if isinstance(error, KeyboardInterrupt) else 1


def say_end(error: BaseException) -> None:
    """What the user can mend in one line, Ctrl-C in one word, a fault of ours with its traceback."""
    if isinstance(error, ChainError):
        print(" ".join(str(error).split()), file=sys.stderr)
    elif isinstance(error, KeyboardInterrupt):
        print("Stopped.", file=sys.stderr)
    else:
        traceback.print_exception(error)


def slug(name: str) -> str:
    """A folder's name that every system takes, as near to `name` as may be."""
    kept = "".join(character if character.isalnum() or character in "-_." else "-" for character in name)
    return kept.lstrip(".-").encode()[:MOST_NAME_BYTES].decode(errors="ignore").rstrip(".-") or "run"


class Progress:
    """Events as a bar on a terminal, as plain lines elsewhere."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.bar: Any = None
        self.terminal = stream.isatty()
        self.stage = ""
        """The name of the stage that goes on, where a run lists stages."""

    def __call__(self, event: dict[str, Any]) -> None:
        show = {
            "phase": self._show_phase,
            "resumed": self._show_resumed,
            "progress": self._show_progress,
            "stage": self._show_stage,
            "step": self._show_step,
            "epoch": self._show_epoch,
            "note": lambda event: self._say(render(f"notes.{event['code']}", "en", **event["params"])),
        }.get(event["kind"])
        if show:
            show(event)

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()
            self.bar = None

    def say(self, key: str, **params: object) -> None:
        """A sentence of the catalogue."""
        self._say(render(key, "en", **params))

    def _say(self, text: str) -> None:
        if self.terminal:
            from tqdm import tqdm

            tqdm.write(text, file=self.stream)
        else:
            print(text, file=self.stream, flush=True)

    def _show_phase(self, event: dict[str, Any]) -> None:
        self.close()
        self._say(render(f"phases.{event['phase']}", "en"))

    def _show_resumed(self, event: dict[str, Any]) -> None:
        if event["step"]:
            self.say("phases.resumed", step=event["step"])

    def _advance(self, done: int, total: int, unit: str) -> None:
        if not self.terminal:
            return
        from tqdm import tqdm

        if self.bar is None:
            self.bar = tqdm(total=total, unit=f" {unit}", file=self.stream, leave=False)
        self.bar.update(done - self.bar.n)

    def _show_progress(self, event: dict[str, Any]) -> None:
        self._advance(event["done"], event["total"], "rows")

    def _show_stage(self, event: dict[str, Any]) -> None:
        self.stage = f"{event['name']}: "
        keys = ("name", "objective", "epochs", "depth")
        self._say(render("phases.stage", "en", number=event["stage"], **{key: event[key] for key in keys}))

    def _show_step(self, event: dict[str, Any]) -> None:
        self._advance(event["step"], event["steps"], "steps")

    def _show_epoch(self, event: dict[str, Any]) -> None:
        parts = []
        for key, scores in event["validation"].items():
            first = next(((name, value) for name, value in scores.items() if name != "loss"), None)
            if first:
                parts.append(f"{key} {first[0]} {first[1]:.4f}")
        mark = " *" if event["best"] else ""
        self._say(
            f"{self.stage}epoch {event['epoch']}/{event['epochs']}  {'  '.join(parts)}  {event['seconds']:.1f} s{mark}"
        )
