"""`events.jsonl`: what a run has told, one JSON object a line, in the order of its numbers from 1."""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

NAME = "events.jsonl"


class EventLog:
    """The file of one run, open at its end once it has begun; what is told before waits, and the file stays so long."""

    def __init__(self, folder: Path, keep: int = 0) -> None:
        """Go on after the first `keep` events, or fewer where it has fewer; what stands behind them goes, a line that a
        crash has torn as well."""
        self._path = folder / NAME
        self.kept = list(_read(self._path, keep)) if keep else []
        """The events that it goes on after."""
        self.count = len(self.kept)
        """Events that it holds."""
        self._waiting: list[bytes] = []
        self._file: BinaryIO | None = None

    def begin(self) -> None:
        """Open the file, and write down what waits."""
        if self._file is not None:
            return
        self._file = self._path.open("r+b" if self.kept else "wb")
        for _ in self.kept:
            self._file.readline()
        self._file.seek(self._file.tell())
        self._file.truncate()
        self._file.writelines(self._waiting)
        self._file.flush()

    def append(self, event: dict[str, Any]) -> None:
        line = json.dumps(event, ensure_ascii=False).encode() + b"\n"
        if self._file is None:
            self._waiting.append(line)
        else:
            self._file.write(line)
            self._file.flush()
        self.count += 1

    def clear(self) -> None:
        """Begin again without any event."""
        self.begin()
        assert self._file is not None
        self._file.seek(0)
        self._file.truncate()
        self.kept, self.count = [], 0

    def sync(self) -> None:
        """To the disk itself."""
        assert self._file is not None
        self._file.flush()
        with suppress(OSError):
            os.fsync(self._file.fileno())

    def close(self) -> None:
        if self._file is not None:
            with suppress(OSError):
                self._file.close()


def read_told(folder: Path, after: int, until: int) -> list[dict[str, Any]]:
    """A run's events with the numbers `after` + 1 … `until`, as far as its folder has them."""
    return list(_read(folder / NAME, until))[after:]


def read_last(folder: Path) -> dict[str, Any] | None:
    """A run's last event; None where there is none, or a crash has torn it."""
    try:
        with (folder / NAME).open("rb") as file:
            event = json.loads(deque(file, maxlen=1).pop())
    except (OSError, ValueError, IndexError):
        return None
    return event if isinstance(event, dict) else None


def _read(path: Path, most: int) -> Iterator[dict[str, Any]]:
    """The first events, up to a line that is torn or no JSON."""
    if not path.exists():
        return
    with path.open("rb") as file:
        for _, line in zip(range(most), file, strict=False):
            try:
                event = json.loads(line)
            except ValueError:
                return
            if not line.endswith(b"\n") or not isinstance(event, dict):
                return
            yield event
