"""The real workbench on a port of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from chain_core.paths import PROJECT

START_SECONDS = 90


@dataclass
class Workbench:
    """A running server."""

    url: str
    home: Path
    log: Path

    def read_log(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")


@contextmanager
def run_workbench(folder: Path) -> Iterator[Workbench]:
    """A server whose workspace is a new folder in `folder`; it ends with the block."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    home, log = folder / "home", folder / "server.log"
    environment = {**os.environ, "CHAIN_HOME": str(home), "HF_HUB_OFFLINE": "1"}
    environment.pop("CHAIN_WORKER", None)
    command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", str(port)]
    with log.open("wb") as output:
        server = subprocess.Popen(
            command, cwd=PROJECT, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        found = Workbench(f"http://127.0.0.1:{port}", home, log)
        _wait_until_up(server, found)
        yield found
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)


def _wait_until_up(server: subprocess.Popen[bytes], workbench: Workbench) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and server.poll() is None:
        try:
            with urllib.request.urlopen(f"{workbench.url}/_stcore/health", timeout=2):
                return
        except OSError:
            time.sleep(0.2)
    raise RuntimeError(f"the workbench did not start:\n{workbench.read_log()}")
