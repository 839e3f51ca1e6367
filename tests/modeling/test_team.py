"""Which device and which rows each process of a team takes, and when a backbone is shared out."""

from __future__ import annotations

from itertools import chain
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from chain_core.config import resolve_config
from chain_core.errors import ConfigError
from chain_core.modeling.backbones import sharding
from chain_core.modeling.team import SOLO, Team, choose_place

SECOND = Team(rank=3, size=4, local_rank=1, local_size=2)


@pytest.fixture
def gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv("ACCELERATE_USE_CPU", raising=False)


def test_each_process_takes_the_gpu_of_its_number(gpus, monkeypatch):
    assert [choose_place(SECOND, name) for name in ("auto", "cuda", "cpu")] == ["cuda:1", "cuda:1", "cpu"]
    assert choose_place(SOLO, "cuda:7") == "cuda:7", "by itself a process takes what it is told"
    monkeypatch.setenv("ACCELERATE_USE_CPU", "True")
    assert choose_place(SECOND, "auto") == "cpu"


def test_one_device_for_many_is_refused(gpus):
    with pytest.raises(ConfigError) as named:
        choose_place(SECOND, "cuda:0")
    assert named.value.code == "device_of_many"
    with pytest.raises(ConfigError) as few:
        choose_place(Team(rank=2, size=3, local_rank=2, local_size=3), "auto")
    assert few.value.params["devices"] == 2


@pytest.mark.parametrize(("rows", "size"), [(32, 2), (7, 3), (3, 3), (1, 1)])
def test_rows_are_shared_out(rows, size):
    parts = [list(range(rows))[Team(rank=rank, size=size).share(rows)] for rank in range(size)]
    assert list(chain(*parts)) == list(range(rows))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_a_process_too_many_has_the_last_row():
    assert [Team(rank=rank, size=4).share(2) for rank in range(4)] == [
        slice(0, 1),
        slice(1, 2),
        slice(1, 2),
        slice(1, 2),
    ]


class Led(Team):
    """A team whose main process answers by itself."""

    def lead(self, action):
        return action()


def test_a_backbone_is_shared_out_where_memory_asks(monkeypatch):
    layers = [nn.Linear(100, 100, bias=False), nn.Linear(100, 100, bias=False).requires_grad_(False)]
    assert [sharding.compute_bytes(layer) for layer in layers] == [160_000, 40_000]
    monkeypatch.setattr(sharding, "list_layers", lambda model: layers)
    team, model = Led(size=2), SimpleNamespace(upper=object())

    def ask(memory, team=team, model=model, **sections):
        monkeypatch.setattr(sharding, "read_memory", lambda *given: memory)
        config = resolve_config({"data": {"train": "rows.csv"}, "backbone": {"tuning": "full"}, **sections})
        return sharding.is_worth_sharding(config, model, torch.device("cpu"), team)

    assert ask(599_999)
    assert not ask(600_001)
    assert ask(10**9, train={"shard": "on"})
    assert not ask(1, train={"shard": "off"})
    assert not ask(1, train={"l2_sp": 0.1})
    assert not ask(1, team=SOLO)
    assert not ask(1, model=SimpleNamespace(upper=None))


@pytest.mark.parametrize(
    ("key", "sections"),
    [
        ("backbone.tuning", {"backbone": {"tuning": "adalora"}}),
        ("chain.links.tie", {"chain": {"depth": 1, "links": {"kind": "backbone", "tie": "backbone"}}}),
        ("train.l2_sp", {"train": {"l2_sp": 0.1}}),
        ("stages", {"stages": [{"epochs": 1}]}),
        ("start.l2", {"start": {"run": "old", "l2": 0.1}}),
    ],
)
def test_what_needs_whole_weights_is_not_shared_out(key, sections):
    train = {**sections.get("train", {}), "shard": "on"}
    with pytest.raises(ConfigError) as refused:
        resolve_config({"data": {"train": "rows.csv"}, **sections, "train": train})
    assert (refused.value.code, refused.value.params["key"]) == ("shard_with", key)
