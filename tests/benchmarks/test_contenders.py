"""The tables: every chain's settings are a valid config, names are unique, bases exist."""

from __future__ import annotations

import pytest

from chain_core.config import resolve_config
from chain_core.services.rows.complete import add_language_heads
from chain_core.services.rows.idle import find_idle
from tests.benchmarks.contenders import EXPERIMENTS, build_jobs
from tests.benchmarks.rows import derive_columns
from tests.benchmarks.run_chain import build_mapping
from tests.benchmarks.run_trainer import DEFAULTS


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_tables(name):
    contenders = EXPERIMENTS[name].build(6)
    names = [contender.name for contender in contenders]
    assert len(set(names)) == len(names)
    assert not any("." in name for name in names)
    assert {contender.base for contender in contenders} <= {*names, ""}
    for contender in contenders:
        if contender.runner == "trainer":
            assert set(contender.settings) <= set(DEFAULTS)


@pytest.mark.parametrize("name", EXPERIMENTS)
@pytest.mark.parametrize("epochs", [None, 2])
def test_every_chain_is_a_valid_config(name, epochs):
    for job in build_jobs(EXPERIMENTS[name], 6, seeds=[3], epochs=epochs):
        if job.runner == "chain":
            config = resolve_config(build_mapping(job))
            assert config.train.seed == 3
            assert epochs is None or config.train.epochs == epochs
            assert epochs or not find_idle(add_language_heads(config)), f"{job.contender} measures less than it says"


def test_one_task_needs_no_run_a_task():
    names = {job.contender for job in build_jobs(EXPERIMENTS["race"], 6, data=["wnut17"], seeds=[0])}
    assert "textbook.ner" in names
    assert not any(name.startswith("lora-each") for name in names)
    assert "linear" not in names


def test_columns_read_off_tags():
    tags = ["B-toloc.city_name", "I-toloc.city_name", "O", "B-airline", "B-airline"]
    assert derive_columns(tags) == {
        "types": ["airline", "toloc.city_name"],
        "count": 3.0,
        "last": "airline",
        "coarse": ["B-toloc", "I-toloc", "O", "B-airline", "B-airline"],
    }
