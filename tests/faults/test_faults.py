"""A short version of `python -m tests.faults`: a few kills of real servers and workers, and nothing is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.campaign import run_campaign


def test_a_few_kills(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status = run_campaign(tmp_path, kills=3, seed=3, lanes=1)
    assert status == 0, capsys.readouterr().out
