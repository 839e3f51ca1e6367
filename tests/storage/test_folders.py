"""Folders appear whole or not at all, whenever the process that writes them is killed."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from chain_core.storage.drafts import DRAFT
from chain_core.storage.folders import is_whole, sweep_draft_folders, write_folder

WRITER = """
import os, sys, itertools
from pathlib import Path
from chain_core.storage.folders import write_folder

def fill(draft):
    for name in "ab":
        (draft / name).write_bytes(os.urandom(200_000))

print("ready", flush=True)
for number in itertools.count():
    write_folder(Path(sys.argv[1]) / f"step-{number % 3}", fill)
"""


def fill(draft):
    (draft / "a").write_bytes(b"one")
    (draft / "b").write_bytes(b"two")


def test_written_and_whole(tmp_path):
    folder = write_folder(tmp_path / "new" / "x", fill)
    assert folder == tmp_path / "new" / "x"
    assert is_whole(folder)
    assert (folder / "b").read_bytes() == b"two"
    assert write_folder(tmp_path / "new" / "x", fill).name == "x-2"
    assert [path.name for path in (tmp_path / "new").iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize("harm", ["cut", "changed", "missing", "unsummed"])
def test_damage_is_seen(tmp_path, harm):
    folder = write_folder(tmp_path / "x", fill)
    if harm == "cut":
        (folder / "a").write_bytes(b"on")
    elif harm == "changed":
        (folder / "a").write_bytes(b"onf")
    else:
        (folder / ("a" if harm == "missing" else "sums.json")).unlink()
    assert not is_whole(folder)


def test_a_failure_leaves_nothing(tmp_path):
    def fail(draft):
        fill(draft)
        raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        write_folder(tmp_path / "x", fail)
    assert list(tmp_path.iterdir()) == []


def test_kills_at_any_moment(tmp_path):
    seen = drafts = 0
    for number in range(12):
        parent = tmp_path / str(number)
        process = subprocess.Popen([sys.executable, "-c", WRITER, str(parent)], stdout=subprocess.PIPE)
        process.stdout.readline()
        time.sleep(0.003 * number)
        process.kill()
        process.wait()
        for path in parent.glob("*") if parent.exists() else []:
            drafts += path.name.endswith(DRAFT)
            if not path.name.endswith(DRAFT):
                seen += 1
                assert is_whole(path)
        sweep_draft_folders(parent)
        assert not list(parent.glob(f".*{DRAFT}"))
    assert seen
    assert drafts, "no kill came in the midst of writing"
