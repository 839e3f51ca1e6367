"""What is left open is inferred, what is given stays."""

from __future__ import annotations

import pyarrow as pa
import pytest

from chain_core.config import resolve_config
from chain_core.errors import ConfigError
from chain_core.services.rows.complete import complete_config, complete_mapping

TABLE = pa.table(
    {
        "message": [f"a longer message number {number} about things" for number in range(60)],
        "topic": ["billing", "delivery"] * 30,
        "part": ["train"] * 40 + ["validation"] * 10 + ["test"] * 10,
    }
)
DATA = {"train": "x"}
HEAD = {"kind": "classification", "column": "topic"}


def test_everything_left_open_is_inferred():
    completed = complete_mapping({"data": DATA}, TABLE)
    assert completed["input"] == {"text": "message"}
    assert set(completed["heads"]) == {"topic"}
    assert completed["data"] == {"train": "x", "split": "part"}


def test_given_heads_stay_alone():
    completed = complete_mapping({"data": DATA, "heads": {"mine": HEAD}}, TABLE)
    assert set(completed["heads"]) == {"mine"}
    assert completed["input"] == {"text": "message"}


def test_given_input_stays():
    completed = complete_mapping({"data": DATA, "input": {"text": "topic", "max_length": 16}}, TABLE)
    assert completed["input"] == {"text": "topic", "max_length": 16}


def test_a_complete_mapping_is_left_as_it_is():
    mapping = {"data": DATA, "input": {"text": "message"}, "heads": {"mine": HEAD}}
    assert complete_mapping(mapping, TABLE) == mapping


def test_nulls_are_open_as_well():
    config, notes = complete_config(resolve_config({"data": DATA, "input": {"max_length": 32}}), TABLE)
    assert (config.input.text, config.input.max_length, config.data.split) == ("message", 32, "part")
    assert [note["code"] for note in notes] == ["input_inferred", "heads_inferred"]
    again, silent = complete_config(config, TABLE)
    assert again == config
    assert silent == []


def test_nothing_to_predict():
    with pytest.raises(ConfigError) as caught:
        complete_config(resolve_config({"data": DATA}), TABLE.select(["message"]))
    assert caught.value.code == "no_label_column"
