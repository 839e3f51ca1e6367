"""A PostgreSQL server of the tests' own, where its programs are installed."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

FOLDERS = ("/usr/lib/postgresql/*/bin", "/usr/local/pgsql/bin", "/opt/homebrew/opt/postgresql*/bin")
USERS = ("postgres", "nobody")
"""The server refuses to run as root."""


def find_program(name: str) -> str | None:
    """The path of one of the server's programs, the newest version's; None where there is none."""
    if found := shutil.which(name):
        return found
    folders = [path for pattern in FOLDERS for path in Path("/").glob(pattern.lstrip("/"))]
    paths = sorted(folder / name for folder in folders if (folder / name).is_file())
    return str(paths[-1]) if paths else None


def explain_absence() -> str:
    """Why there can be no server here; "" where there can."""
    if not (find_program("initdb") and find_program("postgres")):
        return "no PostgreSQL server is installed"
    if find_spec("psycopg") is None:
        return "the Python package psycopg is not installed"
    if os.geteuid() == 0 and _find_user() is None:
        return "PostgreSQL does not run as root, and there is no other user"
    return ""


def run_server() -> Iterator[str]:
    """The URL of a running server, which is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="pg"))  # short: it holds a socket
    user = _find_user() if os.geteuid() == 0 else None
    if user:
        shutil.chown(folder, user)
    options = {"user": user, "extra_groups": [], "cwd": folder} if user else {"cwd": folder}
    data, log = folder / "data", folder / "log"
    initdb = [str(find_program("initdb")), "-D", str(data), "-U", "chain", "--auth=trust", "-E", "UTF8", "--no-sync"]
    subprocess.run([*initdb, "--locale=C"], check=True, stdout=subprocess.DEVNULL, **options)
    settings = {
        "listen_addresses": "",
        "unix_socket_directories": str(folder),
        "fsync": "off",
        "max_connections": "200",
    }
    arguments = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
    with log.open("wb") as out:
        command = [str(find_program("postgres")), "-D", str(data), *arguments]
        server = subprocess.Popen(command, stdout=out, stderr=out, **options)
    try:
        _wait_for(folder, server, log)
        yield f"postgresql+psycopg://chain@/postgres?host={folder}"
    finally:
        server.send_signal(signal.SIGINT)  # without waiting for clients to leave
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
        shutil.rmtree(folder, ignore_errors=True)


def make_database(server: str, name: str) -> str:
    """The URL of a new, empty database; really a schema, which is made a hundred times as fast."""
    import psycopg

    with psycopg.connect(host=server.partition("host=")[2], user="chain", dbname="postgres") as connection:
        connection.execute(f'CREATE SCHEMA "{name}"')
    return f"{server}&options=-csearch_path%3D{name}"


def _find_user() -> str | None:
    known = {entry.pw_name for entry in pwd.getpwall()}
    return next((user for user in USERS if user in known), None)


def _wait_for(folder: Path, server: subprocess.Popen[bytes], log: Path) -> None:
    import psycopg

    end = time.monotonic() + 60
    while True:
        try:
            psycopg.connect(host=str(folder), user="chain", dbname="postgres").close()
            return
        except psycopg.OperationalError:
            if server.poll() is not None or time.monotonic() > end:
                raise RuntimeError(log.read_text(errors="replace")) from None
            time.sleep(0.05)
