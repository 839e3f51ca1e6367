"""Finds a Chromium for the browser tests; `python -m tests.e2e.chromium` installs one where there is none."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
ADVICE = (
    "No Chromium for the browser tests, and none could be installed: install Chromium or Google Chrome, or "
    "set CHAIN_CHROMIUM=/path/to/chrome; `.venv/bin/python -m pytest -m 'not browser'` runs the others."
)


def find_chromium() -> str | None:
    """The path of a browser: CHAIN_CHROMIUM, one on the PATH, or playwright's own; None: there is none."""
    named = os.environ.get("CHAIN_CHROMIUM")
    if named:
        return named if Path(named).exists() else None
    for name in NAMES:
        if path := shutil.which(name):
            return path
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    return path if path and Path(path).exists() else None


def install_chromium() -> None:
    """Debian's package where this is root on such a system, else playwright's download with what it needs."""
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    commands = [[sys.executable, "-m", "playwright", "install", *(["--with-deps"] if root else []), "chromium"]]
    if root and shutil.which("apt-get"):
        commands[:0] = [["apt-get", "update", "-q"], ["apt-get", "install", "-q", "-y", "chromium"]]
    for command in commands:
        print("Looking for a browser:", " ".join(command), flush=True)
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        if find_chromium():
            return


def main() -> int:
    if not find_chromium():
        install_chromium()
    if not find_chromium():
        print(ADVICE, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
