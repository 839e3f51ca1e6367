"""What a sweep varies: axes from text, values laid on a mapping, names."""

from __future__ import annotations

import pytest

from chain_core.errors import ConfigError
from chain_core.services.sweeps.axes import (
    Axis,
    apply_values,
    check_axes,
    count_combinations,
    list_combinations,
    parse_axis,
    shorten_paths,
)
from chain_core.services.sweeps.sweep import Sweep, build_config, check_size, describe_params

BASE = {"name": "base", "data": {"train": "rows.csv"}}


@pytest.mark.parametrize(
    ("text", "axis"),
    [
        ("chain.depth=0,1,2", Axis("chain.depth", (0, 1, 2))),
        ("chain.depth=0..6", Axis("chain.depth", (), 0, 6, whole=True)),
        ("train.learning_rate=1e-3, 3e-3", Axis("train.learning_rate", (0.001, 0.003))),
        ("train.learning_rate=1e-4..1e-2:log", Axis("train.learning_rate", (), 1e-4, 1e-2, log=True)),
        ("backbone.tuning=frozen,lora", Axis("backbone.tuning", ("frozen", "lora"))),
        ("chain.densities=growing,[0.5, 1]", Axis("chain.densities", ("growing", [0.5, 1]))),
        ("heads.a.crf=true,false,true", Axis("heads.a.crf", (True, False))),
        ("chain.budget=null,500k", Axis("chain.budget", (None, "500k"))),
    ],
)
def test_axes_as_a_person_writes_them(text: str, axis: Axis) -> None:
    assert parse_axis(text) == axis
    assert Axis.from_json(axis.to_json()) == axis


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("chain.depth", "axis_form"), ("=1", "axis_form"), ("a=", "axis_form"), ("a=[1", "axis_form"),
        ("a=..", "axis_form"), ("a=3..1", "axis_range"), ("a=0..1:log", "axis_range"), ("a=1..e", "axis_form"),
        ("data.split=2026-13-01", "axis_form"), ("a=!!int abc", "axis_form"), ("a=" + "[" * 5000, "axis_form"),
    ],
)  # fmt: skip
def test_what_is_no_axis_is_said(text: str, code: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_axis(text)
    assert caught.value.code == code


def test_every_combination_the_last_axis_first() -> None:
    axes = (parse_axis("chain.depth=0..1"), parse_axis("train.seed=7,8"))
    assert count_combinations(axes) == 4
    assert list_combinations(axes) == [
        {"chain.depth": depth, "train.seed": seed} for depth in (0, 1) for seed in (7, 8)
    ]


def test_a_grid_has_an_end_and_a_bound() -> None:
    with pytest.raises(ConfigError, match=r"train\.learning_rate"):
        count_combinations([parse_axis("train.learning_rate=0.1..0.2")])
    sweep = Sweep("s", "grid", BASE, ".", (parse_axis("train.seed=0..999999999"),))
    with pytest.raises(ConfigError) as caught:
        check_size(sweep)
    assert caught.value.params == {"path": "", "count": 1_000_000_000, "limit": 500}
    for axes in ([], [parse_axis("a=1"), parse_axis("a=2")]):
        with pytest.raises(ConfigError):
            check_axes(axes)


def test_values_at_their_keys_leave_the_base_alone() -> None:
    base = {"chain": {"links": [{"kind": "conv"}, {"density": 0.5}]}, "heads": {"a": {"weight": 1}, "b": {}}}
    mapping = apply_values(base, {"chain.links.density": 0.25, "heads.*.weight": 2, "chain.links[1].kind": "linear"})
    assert mapping["chain"]["links"] == [{"kind": "conv", "density": 0.25}, {"density": 0.25, "kind": "linear"}]
    assert mapping["heads"] == {"a": {"weight": 2}, "b": {"weight": 2}}
    assert base["chain"]["links"] == [{"kind": "conv"}, {"density": 0.5}]
    with pytest.raises(ConfigError, match=r"chain\.links"):
        apply_values(base, {"chain.links[2].kind": "conv"})


def test_heads_and_links_follow_the_depth() -> None:
    base = {"chain": {"depth": 2, "links": [{}, {}]}, "heads": {"a": {"depths": [1, 2]}}}
    mapping = apply_values(base, {"chain.depth": 0})
    assert mapping == {"chain": {"depth": 0, "links": []}, "heads": {"a": {"depths": ["last"]}}}
    assert apply_values(base, {"chain.depth": "deep"})["chain"]["depth"] == "deep", "the config's checks say more"


def test_settings_have_short_names_that_differ() -> None:
    paths = ["chain.depth", "chain.links.dropout", "heads.a.dropout", "train.seed"]
    names = shorten_paths(paths)
    assert names == {
        "chain.depth": "depth", "chain.links.dropout": "links.dropout", "heads.a.dropout": "a.dropout",
        "train.seed": "seed",
    }  # fmt: skip
    assert (
        describe_params({"train.learning_rate": 0.00123456, "heads.a.crf": True}) == "learning_rate 0.001235, crf true"
    )


def test_a_trials_config_has_its_settings_in_its_name() -> None:
    sweep = Sweep("n" * 300, "grid", BASE, ".", (parse_axis("chain.depth=1,2"),))
    config = build_config(sweep, {"chain.depth": 2})
    assert (config.chain.depth, len(config.name)) == (2, 120)
    assert config.name.endswith(" · depth 2")
    assert Sweep.from_json(sweep.to_json()) == sweep
