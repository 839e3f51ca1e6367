"""Where commands are carried out: in a child process, or, in tests, right here.

The supervisor knows only the methods of `Runner`. CHAIN_WORKER chooses: `process` (the default), `inline`,
or `off` (runs stay queued).
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Protocol

from chain_core.paths import PROJECT, get_folder
from chain_core.services.store.database import VARIABLE
from chain_core.services.store.store import Store
from chain_core.services.workers.devices import build_environment
from chain_core.services.workers.jobs import Jobs

_MOST_LOG_BYTES = 5_000_000
_FAULT = "Fatal Python error"
_MOST_TAIL = 20_000


class WorkerDiedError(Exception):
    """The worker ended before it answered. `status` as in `subprocess`: negative for a signal."""

    def __init__(self, status: int | None, log_tail: str) -> None:
        super().__init__(f"status {status}")
        self.status, self.log_tail = status, log_tail


class _NotTakenError(Exception):
    """The process ended before it took the command up."""


class Runner(Protocol):
    """Carries out commands, one after the other."""

    def start(self) -> None:
        """Get ready; nothing where it is."""

    def ask(self, command: dict[str, Any], timeout: float | None = None) -> dict[str, Any]:
        """One command's answer. Raises WorkerDiedError, or TimeoutError after `timeout` seconds."""

    def kill(self) -> None:
        """End what is going on; a later command starts afresh."""

    def leave(self) -> None:
        """Have the run that goes on put down at its next batch, for good: nothing is taken up after it."""

    def close(self, patience: float = 10.0) -> None:
        """End for good; wait for at most so long after `leave`."""


def build_runner(store: Store, role: str, device: str | None = None) -> Runner:
    """The runner that CHAIN_WORKER names, for the role `trainer` or `predictor`; `device`: the only one it sees."""
    if os.environ.get("CHAIN_WORKER", "process") == "process":
        return ProcessRunner(store.url, role, device)
    return InlineRunner(store)


class InlineRunner:
    """No process: the caller's thread does the work."""

    def __init__(self, store: Store) -> None:
        self._jobs = Jobs(store)

    def start(self) -> None:
        pass

    def ask(self, command: dict[str, Any], timeout: float | None = None) -> dict[str, Any]:
        return self._jobs.answer(command)

    def kill(self) -> None:
        pass

    def leave(self) -> None:
        self._jobs.leave()

    def close(self, patience: float = 10.0) -> None:
        pass


class ProcessRunner:
    """A child process that is started when first needed and again after it died."""

    def __init__(self, url: str, role: str, device: str | None = None) -> None:
        self._url, self._role, self._device = url, role, device
        self._process: subprocess.Popen[str] | None = None
        self._answers: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._log = get_folder("logs") / name_log(role, device)
        self._log_start = 0
        self._request = 0
        self._starting, self._sending = threading.Lock(), threading.Lock()
        self._closed = False

    @property
    def pid(self) -> int | None:
        """Of the living process."""
        alive = self._process is not None and self._process.poll() is None
        return self._process.pid if alive and self._process else None

    def start(self) -> None:
        with self._starting:
            if self._closed or self.pid is not None:
                return
            if self._log.exists() and self._log.stat().st_size > _MOST_LOG_BYTES:
                self._log.unlink()
            command = [sys.executable, "-m", "chain_core.services.workers.worker"]
            with self._log.open("ab") as log:
                self._process = subprocess.Popen(
                    [*command, "--role", self._role],
                    env={
                        **os.environ,
                        **(build_environment(self._device) if self._device else {}),
                        VARIABLE: self._url,
                    },
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    cwd=PROJECT,
                    encoding="utf-8",
                    start_new_session=True,  # Ctrl-C is the server's; a worker follows when its stdin closes
                )
            self._answers = queue.Queue()
            reader = threading.Thread(target=_read_lines, args=(self._process, self._answers), daemon=True)
            reader.start()

    def ask(self, command: dict[str, Any], timeout: float | None = None) -> dict[str, Any]:
        end = None if timeout is None else time.monotonic() + timeout
        self._log_start = _get_size(self._log)
        try:
            return self._ask_once(command, end)
        except _NotTakenError:
            self.kill()  # another one may do better; until it is gone, one that dies may still swallow commands
        try:
            return self._ask_once(command, end)
        except _NotTakenError:
            raise WorkerDiedError(self._wait(), self._read_log_tail()) from None

    def _ask_once(self, command: dict[str, Any], end: float | None) -> dict[str, Any]:
        self._request += 1
        self.start()
        answers, taken = self._answers, False
        self._send({**command, "request": self._request})
        while True:
            left = None if end is None else max(0.0, end - time.monotonic())
            try:
                answer = answers.get(timeout=left)
            except queue.Empty:
                raise TimeoutError from None
            if answer is None and not taken:
                raise _NotTakenError
            if answer is None:
                raise WorkerDiedError(self._wait(), self._read_log_tail())
            if answer.get("request") == self._request:
                if not answer.get("taken"):
                    return answer
                taken = True

    def leave(self) -> None:
        with self._starting:
            self._closed = True
        with contextlib.suppress(_NotTakenError):
            self._send({"do": "leave"})
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()  # an idle one ends

    def close(self, patience: float = 10.0) -> None:
        """One that does not leave in time goes on alone, and leaves when it can."""
        self.leave()
        if self._process is not None and self._role == "trainer":
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(patience)
            return
        self.kill()

    def kill(self) -> None:
        process = self._process
        if process is None:
            return
        with contextlib.suppress(OSError):
            process.kill()
        self._wait()

    def _send(self, message: dict[str, Any]) -> None:
        if self._process is None or self._process.stdin is None:
            raise _NotTakenError
        try:
            with self._sending:
                self._process.stdin.write(json.dumps(message, ensure_ascii=False) + "\n")
                self._process.stdin.flush()
        except (OSError, ValueError):  # ended, or closed
            raise _NotTakenError from None

    def _wait(self) -> int | None:
        if self._process is None:
            return None
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(10)
        return None

    def _read_log_tail(self) -> str:
        return read_tail(self._log, self._log_start)


def name_log(role: str, device: str | None) -> str:
    """The file below the logs' folder that a worker's stderr goes to."""
    return f"{role}.log" if device in (None, "cpu") else f"{role}-{str(device).replace(':', '-')}.log"


def read_tail(path: Path, start: int = 0, lines: int = 40) -> str:
    """A log's last lines from `start` bytes on; of a fault handler's, which go through all threads, all that it says of
    the last fault."""
    with contextlib.suppress(OSError), path.open("rb") as log:
        log.seek(max(start, _get_size(path) - _MOST_TAIL))
        read = log.read().decode("utf-8", "replace").splitlines()
        faults = [number for number, line in enumerate(read) if line.startswith(_FAULT)]
        return "\n".join(read[min([*faults[-1:], max(0, len(read) - lines)]) :])
    return ""


def _read_lines(process: subprocess.Popen[str], answers: queue.Queue[dict[str, Any] | None]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        with contextlib.suppress(ValueError):
            answers.put(json.loads(line))
    answers.put(None)


def _get_size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
