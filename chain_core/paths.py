"""Where the workbench keeps what it makes, and where installed packages lie.

workspace/              or the folder that CHAIN_HOME names
  store.db              runs, events, metrics, data sets (SQLite)
  datasets/<hash>/      one stored data set
  features/<hash>/      one cached set of backbone features
  runs/<run_id>/        one run: config, events, predictions, model, report
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
MOST_NAME_BYTES = 200
"""Of a file's name in UTF-8: systems take 255, and drafts and the like add to it."""


def get_home() -> Path:
    """The workspace folder, made if missing."""
    home = Path(os.environ.get("CHAIN_HOME") or PROJECT / "workspace").expanduser().resolve()
    home.mkdir(parents=True, exist_ok=True)
    return home


def get_folder(name: str) -> Path:
    """One of the workspace's folders (`datasets`, `features`, `runs`), made if missing."""
    folder = get_home() / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def place_path(value: str, folder: Path) -> Path:
    """The path that a person wrote: `~` is home, a relative one starts from `folder`. It may lead nowhere.

    `os.path.exists` and its like say whether it does: pathlib's raise where a name is too long or a folder is closed.
    """
    try:
        return folder / os.path.expanduser(value)
    except ValueError:  # `~` and what can be no user's name
        return folder / value


def fix_path(value: str, folder: Path) -> str:
    """A path made absolute where it leads somewhere; anything else is a name and stays."""
    path = place_path(value, folder)
    return str(path.resolve()) if os.path.exists(path) else value


def find_package(name: str) -> Path | None:
    """The folder of an installed package, without importing it; None where it is not installed."""
    spec = find_spec(name)
    return Path(next(iter(spec.submodule_search_locations))) if spec and spec.submodule_search_locations else None
