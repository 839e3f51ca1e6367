"""Facts of the machine that the tests run on."""

from __future__ import annotations

from pathlib import Path

import pytest

from chain_core.modeling.device import choose_device, choose_precision, name_precision
from chain_core.services import machine as module
from chain_core.services.machine import (
    Gpu,
    Machine,
    load_machine,
    measure_machine,
    read_machine,
    release_memory,
    save_machine,
)
from chain_core.services.store.store import Store


def test_measured_here(store: Store) -> None:
    assert not load_machine(store).measured
    measured = measure_machine()
    assert measured.precision == name_precision(choose_precision("auto", choose_device()))
    assert set(measured.gflops) == {"fp32", measured.precision}
    assert all(rate > 0 for rate in measured.gflops.values())
    save_machine(store, measured)
    assert load_machine(store) == measured


def test_gpus_come_back(store: Store) -> None:
    here = read_machine()
    machine = Machine(here.cores, here.memory, (Gpu("H100", 80),), "bf16", {"fp32": 1.0, "bf16": 2.0})
    save_machine(store, machine)
    assert load_machine(store) == machine


def test_the_best_rate_is_kept(store: Store) -> None:
    here = read_machine()
    save_machine(store, Machine(here.cores, here.memory, (), "fp32", {"fp32": 100.0}))
    save_machine(store, Machine(here.cores, here.memory, (), "bf16", {"fp32": 20.0, "bf16": 40.0}))
    assert load_machine(store).gflops == {"fp32": 100.0, "bf16": 40.0}


def test_a_containers_limits_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CGROUP", tmp_path)
    free = read_machine()
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    (tmp_path / "memory.max").write_text("1000000\n")
    assert (read_machine().cores, read_machine().memory) == (1, 1_000_000)
    (tmp_path / "cpu.max").write_text("max 100000\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert read_machine() == free


@pytest.mark.parametrize("missing", [OSError, AttributeError, None])
def test_memory_is_given_back_where_the_system_takes_it(monkeypatch, missing):
    def refuse(name):
        raise missing

    if missing:
        monkeypatch.setattr(module.ctypes, "CDLL", refuse)
    release_memory()
