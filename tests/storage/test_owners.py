"""Who a process is, on real processes."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import psutil
import pytest

from chain_core.paths import PROJECT
from chain_core.storage import owners
from chain_core.storage.owners import get_identity, is_alive, is_foreign


def start() -> tuple[subprocess.Popen[str], dict]:
    """A process that waits, and who it says that it is."""
    code = (
        "import json, sys; from chain_core.storage.owners import get_identity;"
        "print(json.dumps(get_identity()), flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code]
    process = subprocess.Popen(command, cwd=PROJECT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    return process, json.loads(process.stdout.readline())


def test_a_living_process_is_told_from_all_others() -> None:
    mine = get_identity()
    assert json.loads(json.dumps(mine)) == mine
    assert is_alive(mine)
    assert not is_alive({**mine, "ticks": mine["ticks"] - 1}), "the number was given to another process"
    assert not is_alive({**mine, "boot": "before"}), "the machine was started again"
    assert not is_alive(None)
    assert not is_alive({})


def test_another_host_must_answer_itself() -> None:
    elsewhere = {**get_identity(), "host": "elsewhere", "pid": 1}
    assert is_alive(elsewhere)
    assert is_foreign(elsewhere)
    assert not is_foreign(get_identity())


def test_a_killed_process_is_gone_before_anybody_looked_at_its_end() -> None:
    process, identity = start()
    assert is_alive(identity)
    old = {"host": identity["host"], "pid": process.pid, "started": psutil.Process(process.pid).create_time()}
    process.kill()
    while psutil.Process(process.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    assert not is_alive(identity)
    assert not is_alive(old)
    process.wait()
    assert not is_alive(identity)


def test_identities_of_older_versions_are_understood() -> None:
    mine = get_identity()
    old = {"host": mine["host"], "pid": mine["pid"], "started": psutil.Process().create_time()}
    assert is_alive(old)
    assert not is_alive({**old, "started": old["started"] - 100})


def test_clocks_that_jump_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    before = get_identity()
    monkeypatch.setattr(time, "time", lambda: 0.0)
    monkeypatch.setattr(psutil.Process, "create_time", lambda self: 0.0)
    assert get_identity() == before
    assert is_alive(before)


def test_where_the_kernel_does_not_tell(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owners, "_PROC", tmp_path)
    mine = get_identity()
    assert (mine["boot"], mine["ticks"]) == ("", psutil.Process().create_time())
    assert is_alive(json.loads(json.dumps(mine)))
    assert not is_alive({**mine, "ticks": mine["ticks"] + 50.0})
    assert not is_alive({**mine, "pid": 2**22 + 1})
