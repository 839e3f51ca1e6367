"""The worker's rehearsal, with the real executor and backbone: it must fit what runs, and leave no trace."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from chain_core.services.runs.execute import execute_run
from chain_core.services.workers.worker import rehearse


def test_the_rehearsal_is_a_real_run_in_a_workspace_of_its_own(home: Path) -> None:
    reports = []
    homes = []

    def execute(config, out, **options):
        homes.append(os.environ["CHAIN_HOME"])
        report = execute_run(config, out, **options)
        reports.append(report)
        return report

    rehearse(execute)
    assert set(reports[0]["test"]) >= {"label", "tags"}
    assert not Path(homes[0]).exists()
    assert os.environ["CHAIN_HOME"] == str(home)
    assert not home.exists()


def test_a_failed_rehearsal_gives_the_workspace_back(home: Path) -> None:
    def execute(*_positional, **_options):
        raise OSError("no room")

    with pytest.raises(OSError, match="no room"):
        rehearse(execute)
    assert os.environ["CHAIN_HOME"] == str(home)
