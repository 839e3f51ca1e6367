"""What is saved comes back; what is no predictions file is a sentence."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from chain_core.errors import RunError
from chain_core.reports.predictions import load_predictions, save_predictions
from tests.reports.make import make_predictions


def test_saved_predictions_come_back(tmp_path):
    predictions = make_predictions(30)
    save_predictions(predictions, tmp_path / "predictions" / "test.parquet")
    loaded = load_predictions(tmp_path / "predictions" / "test.parquet")
    assert loaded.heads == predictions.heads
    assert (loaded.split, loaded.run) == ("test", "smart <home>")
    assert loaded.table.equals(predictions.table)
    assert loaded.get_confidence("price", 3) is None
    assert loaded.keys == (
        ("intent", 0), ("intent", 3), ("topics", 3), ("price", 0), ("price", 3), ("slots", 1), ("slots", 3),
        ("answer", 0), ("answer", 3), ("link", 3),
    )  # fmt: skip
    assert [path.name for path in (tmp_path / "predictions").iterdir()] == ["test.parquet"]


def test_a_missing_file_is_a_sentence(tmp_path):
    with pytest.raises(RunError, match=r"test\.parquet"):
        load_predictions(tmp_path / "test.parquet")


def test_other_files_are_a_sentence(tmp_path):
    path = tmp_path / "test.parquet"
    path.write_bytes(b"not parquet")
    with pytest.raises(RunError) as caught:
        load_predictions(path)
    assert caught.value.code == "predictions_damaged"
    pq.write_table(pa.table({"text": ["a"]}), path)
    with pytest.raises(RunError):
        load_predictions(path)
    predictions = make_predictions(5)
    pq.write_table(predictions.table.drop_columns(["pred:intent@3"]), path)
    with pytest.raises(RunError):
        load_predictions(path)
