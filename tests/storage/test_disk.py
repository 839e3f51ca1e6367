"""What a full disk looks like, and space that is taken before it is needed."""

from __future__ import annotations

import errno
import os

import pytest

from chain_core.errors import ResourceError, RunError
from chain_core.storage import disk
from chain_core.storage.disk import explain_full_disk, explain_refusal, is_full, make_folder, make_parent, reserve
from chain_core.storage.locks import hold_folder


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_a_sentence(tmp_path, number):
    with pytest.raises(ResourceError) as caught, explain_full_disk(tmp_path):
        raise OSError(number, "full")
    assert caught.value.code == "disk_full"
    assert is_full(OSError(number, "full"))


def test_other_errors_stay_what_they_are(tmp_path):
    with pytest.raises(FileNotFoundError), explain_full_disk(tmp_path):
        (tmp_path / "none").read_bytes()
    assert not is_full(ValueError())


def hold(folder):
    with hold_folder(folder, 0):
        pass


@pytest.mark.parametrize("make", [make_folder, hold, lambda folder: make_parent(folder / "file")])
@pytest.mark.parametrize("name", ["file", "file/inside", "x" * 300])
def test_what_cannot_be_a_folder_is_named_with_the_reason(tmp_path, make, name):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError) as caught:
        make(tmp_path / name)
    assert caught.value.code == "path_refused"
    assert caught.value.params["path"] == str(tmp_path / name)
    assert caught.value.params["reason"] in ("File exists", "Not a directory", "File name too long")


def test_a_folder_that_is_closed_to_us_is_refused(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(disk.os, "access", lambda path, mode: asked.append((path, mode)))  # root may do anything
    with pytest.raises(RunError, match="Permission denied"):
        make_folder(tmp_path / "closed")
    assert asked == [(tmp_path / "closed", os.R_OK | os.W_OK | os.X_OK)]


def test_a_folder_is_no_file(tmp_path):
    make_parent(tmp_path / "new" / "file")
    with pytest.raises(RunError, match="Is a directory"):
        make_parent(tmp_path / "new")


def test_a_full_disk_is_no_refusal(tmp_path):
    with pytest.raises(ResourceError), explain_refusal(tmp_path):
        raise OSError(errno.ENOSPC, "full")


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="this system promises no blocks")
def test_reserving_takes_the_blocks_and_keeps_the_content(tmp_path):
    path = tmp_path / "file"
    with path.open("wb") as file:
        file.write(b"head")
        file.truncate(1 << 20)
    reserve(path)
    assert path.stat().st_blocks * 512 >= 1 << 20
    assert path.read_bytes()[:4] == b"head"


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="this system promises no blocks")
def test_a_disk_that_is_too_small_is_told_at_once(tmp_path, monkeypatch):
    def refuse(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "file"
    path.write_bytes(b"1")
    monkeypatch.setattr(disk.os, "posix_fallocate", refuse)
    with pytest.raises(OSError, match="No space"):
        reserve(path)
