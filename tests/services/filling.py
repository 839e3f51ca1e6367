"""A real disk of some megabytes, and how it gets full."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


def open_small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """A disk of its own in a new folder, as long as the iterator is open."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "none", str(folder)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("no disk may be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(path: Path) -> None:
    """Until there is no byte left."""
    with path.open("ab", buffering=0) as file:
        for size in (1 << 16, 1 << 8, 1):
            while True:
                try:
                    if not file.write(b"x" * size):
                        break
                except OSError:
                    break
