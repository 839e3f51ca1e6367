"""A stand-in for the shared data: the test table under ATIS' name and columns."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks.measure import STARTED
from tests.tiny import build_commands, write_rows


@pytest.fixture
def rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "shared"
    (folder / "atis").mkdir(parents=True)
    labelled = [row for row in build_commands(90) if row["intent"] and row["slots"]]
    for split, part in (("train", labelled[:48]), ("validation", labelled[48:60]), ("test", labelled[60:])):
        write_rows(folder / "atis" / f"{split}.jsonl", part)
    monkeypatch.setenv("CHAIN_BENCHMARK_DATA", str(folder))
    monkeypatch.setenv(STARTED, "0")
    return folder
