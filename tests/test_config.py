"""Configs: what a mapping may say, what it becomes, and the path of everything that is wrong."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from chain_core.config import (
    AugmentConfig,
    BackboneConfig,
    ChainConfig,
    Config,
    DataConfig,
    HeadConfig,
    InputConfig,
    LinkConfig,
    SetConfig,
    StageConfig,
    StartConfig,
    TrainConfig,
    apply_overrides,
    dump_yaml,
    find_problems,
    load_yaml,
    merge,
    resolve_config,
    restore_config,
)
from chain_core.config.fields import Section
from chain_core.config.root import MOST_CHAINED
from chain_core.errors import ConfigError
from chain_core.messages import LANGUAGES
from chain_core.paths import PROJECT
from chain_core.presets import PRESETS

DATA = {"data": {"train": "train.csv"}}
HEADS = {"intent": {"kind": "classification", "column": "intent"}}


def find_one(**sections: Any) -> ConfigError:
    problems = find_problems({**DATA, "heads": HEADS, **sections})
    assert len(problems) == 1, [(problem.path, problem.code) for problem in problems]
    return problems[0]


def test_what_a_run_was_made_with_is_read_though_it_would_be_refused_now() -> None:
    mapping = {**DATA, "heads": {"a": {**HEADS["intent"], "separator": "|"}}}
    with pytest.raises(ConfigError):
        resolve_config(mapping)
    assert restore_config(mapping).heads["a"].separator == "|"
    with pytest.raises(ConfigError):
        restore_config({**mapping, "chain": {"depth": -1}})


def test_what_a_preset_says_of_a_newer_key_does_not_change_an_old_run() -> None:
    written = resolve_config({"data": {"train": "t"}, "preset": "fast"}).model_dump(mode="json")
    assert written["train"].pop("prune") > 0
    assert restore_config(written).train.prune == 0
    assert restore_config(written).train.epochs == written["train"]["epochs"]


def test_data_alone_is_a_valid_file() -> None:
    config = resolve_config(DATA)
    assert config.data.validation == 0.1
    assert config.heads is None
    assert config.backbone.name == "minilm-l6"


PARTS_THAT_DO_NOT_FIT: list[tuple[dict[str, Any], str, str]] = [
    ({"chain": {"depth": 2, "densities": [0.5]}}, "chain.densities", "densities_length"),
    ({"chain": {"links": {"kind": "conv", "kernel": 4}}}, "chain.links.kernel", "kernel_even"),
    ({"chain": {"depth": 3, "links": {"tie": 3}}}, "chain.links.tie", "tie_later"),
    ({"chain": {"depth": 2, "links": [{"tie": 2}, {}]}}, "chain.links[0].tie", "tie_later"),
    ({"chain": {"depth": 2, "links": [{}, {"tie": 1, "density": 0.5}]}}, "chain.links[1].tie", "tie_differs"),
    ({"chain": {"depth": 2, "densities": "growing", "links": [{}, {"tie": 1}]}}, "chain.links[1].tie", "tie_differs"),
    ({"chain": {"depth": 3, "densities": "growing", "links": {"tie": 1}}}, "chain.links.tie", "tie_differs"),
    ({"chain": {"links": {"kind": "linear", "tie": "backbone"}}}, "chain.links.tie", "tie_backbone_kind"),
    ({"chain": {"links": {"kind": "conv", "init": "backbone"}}}, "chain.links.init", "init_backbone_kind"),
    ({"backbone": {"tuning": "adalora", "final_rank": 32}}, "backbone.final_rank", "must_be_at_most"),
    ({"also": {"news": {"data": {"train": "b.csv"}}}}, "also.news", "also_unused"),
    ({"heads": {"a": {**HEADS["intent"], "data": "news"}}}, "heads.a.data", "head_data_unknown"),
    ({"heads": {"a": {"kind": "classification"}}}, "heads.a.column", "missing_key"),
    ({"heads": {"a": {**HEADS["intent"], "crf": True}}}, "heads.a.crf", "option_of_kinds"),
    ({"heads": {"a": {**HEADS["intent"], "separator": "|"}}}, "heads.a.separator", "option_of_kinds"),
    ({"heads": {"a": {**HEADS["intent"], "threshold": "tuned"}}}, "heads.a.threshold", "option_of_kinds"),
    (
        {"heads": {"a": {"kind": "regression", "column": "s", "label_smoothing": 0.1}}},
        "heads.a.label_smoothing",
        "option_of_kinds",
    ),
    ({"heads": {"a": {**HEADS["intent"], "depths": [0, 1], "depth_weights": [0, 0]}}}, "heads", "weights_all_zero"),
    (
        {
            "heads": {"a": {**HEADS["intent"], "weight": 0}, "b": {"kind": "masked_lm"}},
            "stages": [{"objective": "masked_lm"}, {}],
        },
        "heads",
        "weights_all_zero",
    ),
    (
        {"input": {"tokens": "t"}, "heads": {"a": {"kind": "relation", "column": "s"}}},
        "heads.a.spans",
        "relation_needs_spans",
    ),
    (
        {
            "input": {"text": "t"},
            "heads": {"r": {"kind": "relation", "column": "s"}, "a": {"kind": "span", "column": "b"}},
        },
        "heads.a",
        "span_beside_marks",
    ),
    ({"heads": {"a": {"kind": "tagging", "column": "s", "crf": True, "focal": 2.0}}}, "heads.a.focal", "crf_options"),
    ({"heads": {"a": {**HEADS["intent"], "mixture": True, "share": True}}}, "heads.a.mixture", "mixture_alone"),
    (
        {"input": {"tokens": "t"}, "heads": {"a": {"kind": "span", "column": "answer"}}},
        "heads.a.kind",
        "span_needs_text",
    ),
    (
        {"input": {"text": "t"}, "heads": {"a": {**HEADS["intent"], "pooling": "pair"}}},
        "heads.a.pooling",
        "pooling_needs_pair",
    ),
    ({"stages": [{"depth": 9}]}, "stages[0].depth", "stage_depth_beyond"),
    ({"stages": [{"trains": ["backbone"]}]}, "stages[0].trains", "stage_trains_nothing"),
    ({"stages": [{"data": "texts.txt"}]}, "stages[0].data", "stage_data_labelled"),
    ({"stages": [{"heads": ["intent", "other"]}]}, "stages[0].heads[1]", "stage_head_unknown"),
    ({"stages": [{}, {"objective": "masked_lm", "heads": ["intent"]}]}, "stages[1].heads", "stage_heads_objective"),
    ({"stages": [{"depth": 3}, {"depth": 2}]}, "stages[1].depth", "stage_shrinks"),
    *(
        (sections, "stages[0].trains", "stage_without_parameters")
        for sections in (
            {"stages": [{"trains": ["links", "backbone"]}], "chain": {"links": {"strategy": "freeze"}}},
            {"stages": [{"trains": ["links"]}], "chain": {"depth": 0}},
            {"stages": [{"trains": ["links"]}], "heads": {"a": {**HEADS["intent"], "depths": [0]}}},
            {
                "stages": [{"trains": ["links"], "depth": 1}, {}],
                "chain": {"depth": 2, "links": [{"strategy": "freeze"}, {}]},
            },
        )
    ),
    ({"chain": {"lexical": "on"}, "stages": [{"objective": "causal_lm"}, {}]}, "chain.lexical", "causal_lm_lexical"),
    (
        {"chain": {"links": {"init": "random"}}, "stages": [{"depth": 2}, {"depth": 3}]},
        "stages[1].depth",
        "growth_not_identity",
    ),
]


@pytest.mark.parametrize(
    ("sections", "path", "code"), PARTS_THAT_DO_NOT_FIT, ids=[c for *_, c in PARTS_THAT_DO_NOT_FIT]
)
def test_parts_that_do_not_fit_are_named(sections: dict[str, Any], path: str, code: str) -> None:
    problem = find_one(**sections)
    assert (problem.path, problem.code) == (path, code)
    assert all(problem.text(language) for language in LANGUAGES)


@pytest.mark.parametrize(
    ("written", "count"),
    [("500k", 500_000), ("1.5M", 1_500_000), (7, 7), ("12 k", 12_000), ("1e6", 10**6), ("2.5E+5", 250_000)],
)
def test_a_budget_may_be_written_short(written: Any, count: int) -> None:
    assert resolve_config({**DATA, "chain": {"budget": written}}).chain.budget == count


@pytest.mark.parametrize("written", ["many", "-5k", 0, "k", "1e400", "1e", "e6"])
def test_a_budget_is_a_number(written: Any) -> None:
    assert find_one(chain={"budget": written}).path == "chain.budget"


@pytest.mark.parametrize(
    "sections",
    [
        {"stages": [{"trains": ["links"], "depth": 0}, {}]},
        {"stages": [{"trains": ["links"]}], "chain": {"links": {"strategy": "freeze"}, "lexical": "on"}},
        {"stages": [{"trains": ["backbone"]}], "backbone": {"tuning": "full"}},
        {"stages": [{"objective": "masked_lm", "trains": ["links"]}, {}],
         "heads": {"a": {**HEADS["intent"], "depths": [0]}}},
    ],
)  # fmt: skip
def test_a_stage_with_something_to_train_is_taken(sections: dict[str, Any]) -> None:
    assert find_problems({**DATA, "heads": HEADS, **sections}) == []


@pytest.mark.parametrize("metric", ["mean", "intent/accuracy", "intent/loss", "joint/exact_match", "next/perplexity"])
def test_a_metric_is_one_that_a_stage_with_tasks_is_judged_by(metric: str) -> None:
    heads = {**HEADS, "next": {"kind": "causal_lm"}}
    sections = {"stages": [{"objective": "causal_lm"}, {}], "train": {"metric": metric}}
    assert find_problems({**DATA, "heads": heads, **sections}) == []


def test_the_course_of_densities_scales_each_link() -> None:
    def densities(course: Any) -> list[float]:
        config = resolve_config({**DATA, "chain": {"depth": 4, "links": {"density": 0.5}, "densities": course}})
        return [config.get_link(position).density for position in range(1, 5)]

    assert densities("constant") == [0.5] * 4
    assert densities("growing") == [0.125, 0.25, 0.375, 0.5]
    assert densities("shrinking") == [0.5, 0.375, 0.25, 0.125]
    assert densities([1.0, 0.5, 0.2, 0.1]) == [0.5, 0.25, 0.1, 0.05]


def test_one_mapping_ties_the_links_after_the_one_it_names() -> None:
    config = resolve_config({**DATA, "chain": {"depth": 3, "links": {"tie": 1}}})
    assert [config.get_link(position).tie for position in (1, 2, 3)] == [None, 1, 1]


def test_stages_fill_what_they_leave_open() -> None:
    three = {**DATA, "chain": {"depth": 3}, "train": {"learning_rate": 1e-3}}
    one = resolve_config({**three, "train": {"epochs": 7}}).get_stages()
    assert [(stage.name, stage.epochs, stage.depth) for stage in one] == [("1-tasks", 7, 3)]
    two = resolve_config({**three, "stages": [{"depth": 1, "learning_rate": 0.5}, {"name": "all"}]}).get_stages()
    assert [(stage.name, stage.depth, stage.learning_rate) for stage in two] == [("1-tasks", 1, 0.5), ("all", 3, 1e-3)]


_WORDS = {"tags": {"kind": "tagging", "column": "tags"}}


@pytest.mark.parametrize(
    ("sections", "uses"),
    [
        ({"heads": {**HEADS, **_WORDS}}, True),
        ({"heads": HEADS}, False),
        ({"heads": HEADS, "chain": {"lexical": "on"}}, True),
        ({"heads": _WORDS, "chain": {"lexical": "off"}}, False),
        ({"heads": _WORDS, "chain": {"depth": 0}}, False),
        ({"heads": HEADS, "chain": {"depth": 0, "lexical": "on"}}, False),
        ({"heads": {**_WORDS, "next": {"kind": "causal_lm"}}}, False),
    ],
)
def test_who_reads_the_shapes_of_words(sections: dict[str, Any], uses: bool) -> None:
    assert resolve_config({**DATA, **sections}).uses_lexical == uses


_REST, _ALL = {"trains": ["links", "heads"]}, {}


@pytest.mark.parametrize(
    ("sections", "untouched"),
    [
        ({"stages": [_REST, _REST, _ALL, _REST]}, {1, 2}),
        ({"stages": [_ALL, _REST]}, set()),
        ({"stages": [{**_REST, "objective": "masked_lm"}, _REST, _ALL]}, {2}),
        ({"stages": [_REST, _ALL], "start": {"run": "old"}}, set()),
        ({"stages": [_REST, _ALL], "backbone": {"tuning": "prefix"}}, set()),
        ({"stages": [_REST, _ALL], "backbone": {"tuning": "frozen"}}, set()),
        ({"stages": [_REST, _ALL], "train": {"adversarial": 0.5}}, set()),
        ({"stages": [_REST, _ALL], "backbone": {"tuning": "lora", "layers": 1}}, {1}),
        ({}, set()),
    ],
)
def test_stages_before_the_backbones_tuning(sections: dict[str, Any], untouched: set[int]) -> None:
    config = resolve_config({**DATA, "backbone": {"tuning": "full"}, **sections})
    assert set(config.find_untouched()) == untouched


@given(rows=st.integers(0, 10**7))
def test_an_open_batch_size_goes_by_the_rows(rows: int) -> None:
    size = TrainConfig().get_batch_size(rows)
    assert size in (16, 32, 64)
    assert size == 16 or rows // size >= 128
    assert size == 64 or rows // (2 * size) < 128
    assert TrainConfig(batch_size=5).get_batch_size(rows) == 5


@pytest.mark.parametrize(
    ("links", "kinds"),
    [
        ({}, ["conv", "conv", "attention"]),
        ([{}, {"kind": "linear"}, {}], ["conv", "linear", "attention"]),
        ({"tie": 1}, ["attention"] * 3),
        ({"init": "backbone"}, ["attention"] * 3),
        ([{}, {"tie": 1}, {}], ["attention"] * 3),
    ],
)
def test_a_link_that_leaves_its_kind_open(links: Any, kinds: list[str]) -> None:
    heads = {**HEADS, "slots": {"kind": "tagging", "column": "slots"}}
    config = resolve_config({**DATA, "heads": heads, "chain": {"depth": 3, "links": links}})
    assert [config.get_link(position).kind for position in (1, 2, 3)] == kinds


def test_open_kinds_go_by_what_heads_read() -> None:
    def list_kinds(heads: dict[str, Any], columns: dict[str, str]) -> list[str]:
        config = resolve_config({**DATA, "input": columns, "heads": heads, "chain": {"depth": 2}})
        return [config.get_link(position).kind for position in (1, 2)]

    tags = {"slots": {"kind": "tagging", "column": "slots"}}
    answers = {"answer": {"kind": "span", "column": "answer"}}
    assert list_kinds(HEADS, {"text": "text"}) == ["bottleneck", "bottleneck"]
    assert list_kinds(HEADS | tags, {"tokens": "tokens"}) == ["conv", "attention"]
    assert list_kinds(answers, {"text": "question", "pair": "context"}) == ["attention", "attention"]


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_stands_under_what_is_given(preset: str) -> None:
    config = resolve_config({**DATA, "preset": preset, "chain": {"depth": 5}})
    assert config.chain.depth == 5
    assert config.backbone.tuning == PRESETS[preset]["backbone"]["tuning"]
    assert config.train.epochs == PRESETS[preset]["train"]["epochs"]


@pytest.mark.parametrize(
    ("sections", "path", "code"),
    [
        ({"chain": {"depht": 3}}, "chain.depht", "unknown_key"),
        ({"zzz": 1}, "zzz", "unknown_key_list"),
        ({"chain": {"depth": 13}}, "chain.depth", "must_be_at_most"),
        ({"chain": {"depth": -1}}, "chain.depth", "must_be_at_least"),
        ({"chain": {"depth": True}}, "chain.depth", "not_number"),
        ({"chain": {"depth": "many"}}, "chain.depth", "not_integer"),
        ({"chain": {"links": {"density": 0}}}, "chain.links.density", "must_exceed"),
        ({"chain": {"links": {"density": 1.5}}}, "chain.links.density", "must_be_at_most"),
        ({"chain": {"depth": 1, "links": [{"densty": 1}]}}, "chain.links[0].densty", "unknown_key"),
        ({"chain": {"depth": 3, "links": [{}, {}]}}, "chain.links", "links_length"),
        ({"chain": {"depth": 2, "taps": [1]}}, "chain.taps", "taps_length"),
        ({"chain": {"depth": 1, "taps": [-1]}}, "chain.taps[0]", "must_be_at_least"),
        ({"backbone": {"rank": 0}}, "backbone.rank", "must_be_at_least"),
        ({"backbone": {"tuning": "lore"}}, "backbone.tuning", "not_one_of_nearest"),
        ({"backbone": "minilm"}, "backbone", "not_mapping"),
        ({"train": {"learning_rate": float("nan")}}, "train.learning_rate", "not_number"),
        ({"train": {"epochs": 1.5}}, "train.epochs", "not_integer"),
        ({"train": {"metric": "slots/f1"}}, "train.metric", "metric_unknown"),
        ({"train": {"metric": "intent/acuracy"}}, "train.metric", "metric_not_measured"),
        ({"train": {"metric": "joint/foo"}}, "train.metric", "metric_not_measured"),
        ({"train": {"metric": "joint/exact_match"}, "heads": {"a": {"kind": "regression", "column": "c"}}},
         "train.metric", "metric_not_measured"),
        ({"train": {"metric": "lm/perplexity"}, "heads": {**HEADS, "lm": {"kind": "masked_lm"}},
          "stages": [{"objective": "masked_lm"}, {}]}, "train.metric", "metric_not_measured"),
        ({"train": {"metric": "intent/accuracy"}, "stages": [{"objective": "masked_lm"}]},
         "train.metric", "metric_not_measured"),
        ({"train": {"device": "tpu"}}, "train.device", "invalid"),
        ({"heads": {}}, "heads", "no_heads"),
        ({"heads": {"a b": {"kind": "regression", "column": "c"}}}, "heads.a b", "head_name"),
        ({"heads": {"joint": {"kind": "regression", "column": "c"}}}, "heads.joint", "head_name_joint"),
        ({"heads": {"one": {"kind": "classify", "column": "c"}}}, "heads.one.kind", "not_one_of_nearest"),
        ({"heads": {"train": {"kind": "regression", "column": "c", "weigth": 1}}}, "heads.train.weigth", "unknown_key"),
        ({"heads": {"a": {"kind": "regression"}}}, "heads.a.column", "missing_key"),
        ({"heads": {"a": {**HEADS["intent"], "depths": [9]}}}, "heads.a.depths[0]", "depth_beyond"),
        ({"chain": {"depth": 3}, "heads": {"a": {**HEADS["intent"], "depths": [3, "last"]}}},
         "heads.a.depths", "depths_twice"),
        ({"heads": {"a": {**HEADS["intent"], "depths": ["lst"]}}}, "heads.a.depths[0]", "not_one_of_nearest"),
        ({"heads": {"a": {**HEADS["intent"], "weight": 0}}}, "heads", "weights_all_zero"),
        ({"heads": {"a": {**HEADS["intent"], "depth_weights": []}}}, "heads.a.depth_weights", "depth_weights_length"),
        ({"data": {"train": "t", "validation": 1.5}}, "data.validation", "fraction"),
        ({"data": {"train": "t", "validation": 0.6, "test": 0.6}}, "data.test", "fractions_sum"),
        ({"data": {"train": "t", "validation": [1]}}, "data.validation", "not_number"),
        ({"data": {}}, "data.train", "missing_key"),
        ({"input": {"text": "a", "tokens": "b"}}, "input", "input_both"),
        ({"input": {"pair": "a"}}, "input.pair", "input_pair_alone"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_its_path(sections: dict[str, Any], path: str, code: str) -> None:
    problem = find_one(**sections)
    assert (problem.path, problem.code) == (path, code)
    for language in LANGUAGES:
        sentence = problem.text(language)
        assert path in sentence
        assert not re.search(r"\{\w+", sentence), sentence


def test_a_mistyped_key_is_told_the_right_one() -> None:
    assert "depth" in find_one(chain={"depht": 3}).text()
    assert "learning_rate" in find_one(train={"lerning_rate": 1}).text()


def test_last_and_numbers_name_the_same_depths() -> None:
    head = {"kind": "tagging", "column": "c", "depths": [1, "last", 0], "depth_weights": [0.5, 2, 3]}
    config = resolve_config({**DATA, "chain": {"depth": 4}, "heads": {"h": head}})
    assert config.get_depths("h") == (0, 1, 4)
    assert config.get_depth_weights("h") == {1: 0.5, 4: 2.0, 0: 3.0}


NO_SUCH_VALUES = ("int abc", "int ''", "bool abc", "timestamp abc", "float " + "1:" * 400 + "1")


def build_nested_aliases(value: str) -> str:
    """Thirty keys, each with the one before it twice: {0} in `value`."""
    return "k0: &k0 {k: 1}\n" + "".join(f"k{n}: &k{n} {value.format(f'k{n - 1}')}\n" for n in range(1, 31))


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("a: [", "yaml_broken"),
        ("a: 1\na: 2", "yaml_broken"),
        ("- 1", "yaml_no_mapping"),
        ("", "yaml_no_mapping"),
        ("a: !!python/object:os.system x", "yaml_broken"),
        ("? [a]\n: 1", "yaml_broken"),
        ("x: " + "[" * 5000, "yaml_broken"),
        ("x: 2026-99-99", "yaml_broken"),
        *((f"x: !!{value}", "yaml_broken") for value in NO_SUCH_VALUES),
        ("x: '" + "y" * 1_000_001 + "'", "yaml_too_large"),
        (build_nested_aliases("{{k: *{0}, l: *{0}}}"), "yaml_too_large"),
        (build_nested_aliases("[*{0}, *{0}]"), "yaml_too_large"),
        ("a: &a " + "y" * 10_000 + "\nb: [" + "*a, " * 100 + "]", "yaml_too_large"),
        ("a: &a [*a]", "yaml_too_large"),
    ],
)
def test_broken_yaml_is_one_clear_sentence(text: str, code: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_yaml(text)
    assert caught.value.code == code


def test_aliases_stand_for_what_they_name() -> None:
    text = "a: &links [&first {kind: conv}, *first]\nb: {c: *links, d: *first}\n"
    assert load_yaml(text) == {
        "a": [{"kind": "conv"}] * 2, "b": {"c": [{"kind": "conv"}] * 2, "d": {"kind": "conv"}}
    }  # fmt: skip


def test_overrides_reach_into_lists_and_make_what_is_missing() -> None:
    given_mapping = {**DATA, "chain": {"depth": 2, "links": [{"density": 1.0}, {}]}}
    changed = apply_overrides(given_mapping, ["train.epochs=3", "chain.links[1].density=0.5", "heads.a.kind=tagging"])
    assert changed["train"] == {"epochs": 3}
    assert changed["chain"]["links"] == [{"density": 1.0}, {"density": 0.5}]
    assert changed["heads"] == {"a": {"kind": "tagging"}}
    assert given_mapping["chain"]["links"][1] == {}, "the given mapping stays as it was"


@pytest.mark.parametrize(
    "override",
    [
        "train.epochs", "=3", "chain.links[9].density=1", "train.epochs=[", "chain.links[0]=1", "name=2026-99-99",
        "name=" + "[" * 5000, *(f"name=!!{value}" for value in NO_SUCH_VALUES),
        "heads=[" + ", ".join(f"&a{n} [*a{n - 1}, *a{n - 1}]" if n else "&a0 [1]" for n in range(31)) + "]",
    ],
)  # fmt: skip
def test_bad_overrides_are_refused(override: str) -> None:
    with pytest.raises(ConfigError):
        apply_overrides({**DATA, "chain": {"links": [] if "0" in override else [{}]}}, [override])


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
SECTIONS = list(Config.model_fields)
NEAR = st.dictionaries(
    st.sampled_from(SECTIONS) | st.text(max_size=5),
    st.dictionaries(
        st.sampled_from(["train", "validation", "depth", "links", "taps", "kind", "epochs", "metric", "text"]),
        ANYTHING, max_size=4,
    ) | ANYTHING,
    max_size=6,
)  # fmt: skip


@settings(max_examples=150)
@given(NEAR)
def test_any_mapping_gives_problems_or_a_config(mapping: dict[str, Any]) -> None:
    problems = find_problems(mapping)
    if problems:
        for problem in problems:
            assert problem.text("en")
            assert problem.text("zh")
        with pytest.raises(ConfigError):
            resolve_config(mapping)
    else:
        assert isinstance(resolve_config(mapping), Config)


@settings(max_examples=150)
@given(st.text(max_size=200))
def test_any_text_is_a_mapping_or_a_config_error(text: str) -> None:
    with contextlib.suppress(ConfigError):
        assert isinstance(load_yaml(text), dict)


@settings(max_examples=100)
@given(ANYTHING, st.text(max_size=12), ANYTHING)
def test_any_override_is_taken_or_refused(base: Any, path: str, value: Any) -> None:
    with contextlib.suppress(ConfigError):
        apply_overrides(base if isinstance(base, dict) else {"a": base}, [f"{path}={yaml.safe_dump(value)}"])


@st.composite
def draw_valid(draw: st.DrawFn) -> dict[str, Any]:
    depth = draw(st.integers(0, 12))
    link = st.fixed_dictionaries(
        {},
        optional={
            "kind": st.sampled_from(["auto", "linear", "bottleneck", "attention"]),
            "density": st.floats(0.001, 1),
            "dropout": st.floats(0, 0.99),
            "detach": st.booleans(),
        },
    )
    head = st.fixed_dictionaries(
        {
            "kind": st.sampled_from(["classification", "multilabel", "regression"]),
            "column": st.text(min_size=1, max_size=9),
        },
        optional={"weight": st.floats(0.1, 9), "depths": st.lists(st.integers(0, depth), min_size=1, unique=True)},
    )
    names = st.from_regex(r"[^\s/@:|]{1,20}", fullmatch=True).filter(lambda name: name != "joint")
    return {
        "name": draw(st.text(min_size=1, max_size=20)),
        "preset": draw(st.sampled_from(sorted(PRESETS))),
        "data": {"train": draw(st.text(min_size=1, max_size=20)), "validation": draw(st.floats(0.01, 0.4) | st.text())},
        "chain": {"depth": depth, "links": draw(link | st.lists(link, min_size=depth, max_size=depth))},
        "heads": draw(st.none() | st.dictionaries(names, head, min_size=1, max_size=4)),
        "train": {"learning_rate": draw(st.floats(1e-9, 10)), "seed": draw(st.integers(0, 2**32 - 1))},
    }


@settings(max_examples=100)
@given(draw_valid())
def test_a_dumped_config_reads_back_equal(mapping: dict[str, Any]) -> None:
    config = resolve_config(mapping)
    again = resolve_config(load_yaml(dump_yaml(config)))
    assert again == config
    assert dump_yaml(again) == dump_yaml(config)


def test_merging_leaves_both_as_they_were() -> None:
    base, over = {"a": {"b": 1, "c": 2}}, {"a": {"b": {"d": 3}}}
    assert merge(base, over) == {"a": {"b": {"d": 3}, "c": 2}}
    assert base == {"a": {"b": 1, "c": 2}}
    assert over == {"a": {"b": {"d": 3}}}


INNER: dict[str, type[Section]] = {
    "data": DataConfig, "input": InputConfig, "backbone": BackboneConfig, "chain": ChainConfig, "train": TrainConfig,
    "augment": AugmentConfig, "chain.links": LinkConfig,
}  # fmt: skip
ENTRIES: dict[str, type[Section]] = {
    "heads": HeadConfig,
    "also": SetConfig,
    "stages": StageConfig,
    "start": StartConfig,
}


def list_keys(section: type[Section], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, field in section.model_fields.items():
        key = prefix + name
        if key in INNER:
            yield from list_keys(INNER[key], f"{key}.")
        elif not isinstance(field.default, Section):
            yield key, ... if field.is_required() else field.get_default()
        if key in ENTRIES:
            yield from list_keys(ENTRIES[key], f"{key}.NAME." if key in ("heads", "also") else f"{key}.")


def write_default(default: Any) -> str:
    if default is ... or default == "":
        return "–"
    written = {True: "true", False: "false", None: "null"}
    if default is None or isinstance(default, bool):
        return f"`{written[default]}`"
    return f"`[{', '.join(default)}]`" if isinstance(default, tuple) else f"`{default}`"


@pytest.mark.parametrize(("key", "default"), list_keys(Config))
def test_the_readme_tells_every_key_and_its_default(key: str, default: Any) -> None:
    assert f"| `{key}` | {write_default(default)} |" in (PROJECT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("word", ["on", "off", "auto"])
def test_bare_on_and_off_are_words_here(word: str) -> None:
    config = resolve_config(load_yaml(f"data: {{train: x}}\nchain: {{lexical: {word}}}"))
    assert config.chain.lexical == word
    overrides = [f"chain.lexical={word}", f"train.shard={word}"]
    overridden = resolve_config(apply_overrides({"data": {"train": "x"}}, overrides))
    assert (overridden.chain.lexical, overridden.train.shard) == (word, word)
    assert resolve_config(load_yaml(dump_yaml(config))) == config


@pytest.mark.parametrize(
    ("sections", "expected"),
    [
        ({"preset": "thorough"}, "on"),
        ({"preset": "thorough", "backbone": {"layers": 2}}, "off"),
        ({"preset": "thorough", "backbone": {"tuning": "lora"}}, "off"),
        ({"preset": "balanced"}, "off"),
        ({"preset": "balanced", "backbone": {"layers": None}}, "on"),
        ({"preset": "fast"}, "off"),
    ],
)
def test_a_head_that_leaves_it_open_has_a_crf_where_the_whole_backbone_is_tuned(
    sections: dict[str, Any], expected: str
) -> None:
    tagging = {"kind": "tagging", "column": "tags"}

    def choose(classes: int = 9, **options: Any) -> str:
        head = {**tagging, **options}
        return resolve_config({**DATA, **sections, "heads": {"a": head}}).get_head("a", classes).crf

    assert choose() == choose(crf="auto") == expected
    assert (choose(crf=True), choose(crf=False)) == ("on", "off")
    assert choose(classes=MOST_CHAINED) == expected
    assert choose(classes=MOST_CHAINED + 1) == "off"
    for option in ({"class_weights": "balanced"}, {"focal": 2.0}, {"label_smoothing": 0.1}, {"kind": "classification"}):
        assert choose(**option) == "off"


def test_a_head_of_any_kind_may_say_that_it_has_no_crf() -> None:
    assert find_problems({**DATA, "heads": {"intent": {**HEADS["intent"], "crf": False}}}) == []


def test_a_chain_grows_by_links_tied_to_the_backbone_but_not_to_each_other() -> None:
    def find(tie: Any) -> list[str]:
        links = [{"kind": "backbone"}, {"kind": "backbone", "tie": tie}]
        stages = [{"depth": 1}, {"depth": 2}]
        return [
            problem.code for problem in find_problems({**DATA, "chain": {"depth": 2, "links": links}, "stages": stages})
        ]

    assert find("backbone") == []
    assert find(1) == ["growth_not_identity"]
