"""What the store gives back: frozen values."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chain_core.config import Config, load_yaml, resolve_config
from chain_core.paths import get_folder

ACTIVE = ("queued", "running", "stopping")
BUSY = ("running", "stopping")
STATES = (*ACTIVE, "finished", "stopped", "failed")


@dataclass(frozen=True)
class Run:
    """One job as the store knows it. Times are seconds since 1970; relative paths start from `folder`."""

    id: str
    name: str
    state: str
    config_yaml: str
    folder: str
    data_id: str | None
    created: float
    started: float | None
    finished: float | None
    error: dict[str, Any] | None
    """{"code", "params"} and, for a crash, "traceback"."""
    control: str
    """"" or "stop"."""
    worker: dict[str, Any] | None
    progress: dict[str, Any]
    """See `curves.compute_progress`."""

    @property
    def path(self) -> Path:
        """The run's folder; not made here."""
        return get_folder("runs") / self.id

    @property
    def active(self) -> bool:
        """Whether something may still change."""
        return self.state in ACTIVE

    @property
    def has_report(self) -> bool:
        """Whether there is something to look at and to predict with: also true of a run that was stopped."""
        return (self.path / "report.json").is_file()

    def load_config(self) -> Config:
        """The run's complete config."""
        return resolve_config(load_yaml(self.config_yaml))


@dataclass(frozen=True)
class DataEntry:
    """A stored data set's line; its rows are `data.store.load_data_set(id)`."""

    id: str
    name: str
    rows: int
    columns: tuple[str, ...]
    roles: dict[str, str] | None
    created: float


@dataclass(frozen=True)
class Curve:
    """One series, ascending in step; equally long lists."""

    step: list[float]
    epoch: list[float | None]
    seconds: list[float | None]
    value: list[float | None]


def make_run(row: Any) -> Run:
    values = dict(row._mapping)
    return Run(config_yaml=values.pop("config"), **values)
