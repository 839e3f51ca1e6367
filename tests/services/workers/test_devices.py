"""Which devices get a worker, and which runs each of them takes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from chain_core.config import resolve_config
from chain_core.errors import ConfigError
from chain_core.modeling.device import choose_device
from chain_core.services.store.store import Store
from chain_core.services.workers.devices import build_environment, find_devices, list_wishes

LISTED = "GPU 0: NVIDIA A100 (UUID: GPU-1)\\nGPU 1: NVIDIA A100 (UUID: GPU-2)\\n"


@pytest.fixture(autouse=True)
def _unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CHAIN_DEVICES", raising=False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def install_smi(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """A program of that name, the only one to be found."""
    path = folder / "nvidia-smi"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/bin{os.pathsep}/usr/bin")


def test_each_gpu_that_is_listed_and_the_cpu(tmp_path: Path, monkeypatch) -> None:
    install_smi(tmp_path, monkeypatch, f"printf '{LISTED}'")
    assert find_devices() == ("cpu", "cuda:0", "cuda:1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert find_devices() == ("cpu", "cuda:0")
    assert build_environment("cuda:0")["CUDA_VISIBLE_DEVICES"] == "1", "the first of those that the server may use"


def test_the_cpu_alone_where_no_gpu_answers(tmp_path: Path, monkeypatch) -> None:
    install_smi(tmp_path, monkeypatch, "echo 'NVIDIA-SMI has failed'; exit 9")
    assert find_devices() == ("cpu",)


def test_devices_may_be_chosen(monkeypatch) -> None:
    monkeypatch.setenv("CHAIN_DEVICES", "cuda:1, nonsense")
    assert find_devices() == ("cuda:1",)


@pytest.mark.parametrize("devices", [("cpu",), ("cpu", "cuda:0"), ("cpu", "cuda:0", "cuda:1")])
def test_every_wish_is_somebodys_where_no_other_machine_shares_the_queue(devices: tuple[str, ...]) -> None:
    taken = {device: list_wishes(device, devices, alone=True) for device in devices}
    for wish in ("auto", "cpu", "cuda", "cuda:0", "cuda:1", "cuda:7", "mps"):
        assert any(wish in wishes for wishes in taken.values()), wish
    for device in devices:
        assert device in taken[device]
        others = [wishes for other, wishes in taken.items() if other != device]
        assert not any(device in wishes for wishes in others), "a wish by name is that device's"


def test_wishes_that_another_machine_may_grant_are_left_to_it() -> None:
    assert list_wishes("cpu", ("cpu",), alone=False) == ["auto", "cpu", "mps"]
    assert "auto" not in list_wishes("cpu", ("cpu", "cuda:0"), alone=False)


def test_a_worker_takes_only_runs_that_wish_for_its_device(store: Store) -> None:
    runs = {
        wish: store.add_run(resolve_config({"data": {"train": "x"}, "train": {"device": wish}}))
        for wish in ("cpu", "cuda:1", "auto")
    }
    devices = ("cpu", "cuda:0", "cuda:1")
    first = store.claim_run({}, "cuda:0", list_wishes("cuda:0", devices, alone=True))
    assert first is not None
    assert (first.id, first.device) == (runs["auto"], "cuda:0")
    assert store.claim_run({}, "cuda:0", list_wishes("cuda:0", devices, alone=True)) is None


def test_a_worker_knows_the_only_device_that_it_sees(monkeypatch) -> None:
    for name, value in build_environment("cpu").items():
        monkeypatch.setenv(name, value)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == ""
    assert choose_device("cpu").type == "cpu"
    with pytest.raises(ConfigError):
        choose_device("cuda:1")
    assert build_environment("cuda:1") == {"CHAIN_DEVICE": "cuda:1", "CUDA_VISIBLE_DEVICES": "1"}
