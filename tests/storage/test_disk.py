"""What a full disk looks like, and space that is taken before it is needed."""

from __future__ import annotations

import errno
import os

import pytest

from chain_core.errors import ResourceError
from chain_core.storage import disk
from chain_core.storage.disk import explain_full_disk, is_full, reserve


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
