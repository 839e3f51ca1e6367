"""What the store gives back: frozen values."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chain_core.config import Config, load_yaml, restore_config
from chain_core.paths import get_folder

BUSY = ("running", "stopping", "pausing")
"""A worker is at it."""
ACTIVE = ("queued", *BUSY)
"""Something goes on by itself."""
ENDED = ("finished", "stopped", "cancelled", "failed")
STATES = (*ACTIVE, "paused", *ENDED)
REPORT = "report.json"
"""In a run's folder, once there is something to report."""


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
    """Of the first attempt."""
    finished: float | None
    error: dict[str, Any] | None
    """{"code", "params"} and, for a crash, "traceback"."""
    control: str
    """What was asked for: "", "stop", "pause" or "cancel"."""
    worker: dict[str, Any] | None
    """The identity of the process that took the run up."""
    progress: dict[str, Any]
    """See `curves.compute_progress`."""
    priority: int
    """Higher ones first."""
    position: int
    """In the queue, among runs of the same priority."""
    wish: str
    """The device that the config asks for."""
    tags: tuple[str, ...]
    starred: bool
    deleted: float | None
    """When it was hidden; 0 while it is removed for good."""
    parent: str | None
    """The run that it is a copy of."""
    group_id: str | None
    attempt: int
    """How often it was taken from the queue."""
    device: str | None
    """The one that it runs on."""
    owner: dict[str, Any] | None
    """The identity of the server that took it from the queue."""
    claim: str | None
    """The token of that; whoever writes for the run has to know it."""
    beat: int
    """Counts up while the worker lives."""
    deaths: tuple[dict[str, Any], ...]
    """What became of workers that went away in the middle, since it was last queued by hand; see `deaths`."""
    hider: dict[str, Any] | None
    """The identity of the server that hid it."""

    @property
    def path(self) -> Path:
        """The run's folder; not made here."""
        return get_folder("runs") / self.id

    @property
    def active(self) -> bool:
        """Whether something may still change by itself."""
        return self.state in ACTIVE

    @property
    def has_report(self) -> bool:
        """Whether there is something to look at and to predict with: also true of a run that was stopped."""
        return (self.path / REPORT).is_file()

    def load_config(self) -> Config:
        """The run's complete config."""
        return restore_config(load_yaml(self.config_yaml))


@dataclass(frozen=True)
class Group:
    """Runs that belong together, such as a sweep's."""

    id: str
    name: str
    kind: str
    """"grid" or "search"."""
    spec: dict[str, Any]
    state: str
    created: float
    deleted: float | None = None
    """When it was hidden, and its runs with it; 0 while it is removed for good."""
    hider: dict[str, Any] | None = None
    """The identity of the server that hid it."""


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
    return Run(
        config_yaml=values.pop("config"), tags=tuple(values.pop("tags")), deaths=tuple(values.pop("deaths")), **values
    )
