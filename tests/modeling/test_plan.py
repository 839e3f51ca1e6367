"""The plan against the modules that are really built."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from transformers import AutoModel, BertConfig, DistilBertConfig, GPT2Config, LlamaConfig, RobertaConfig

from chain_core.config import LINK_KINDS, BackboneConfig, Config, resolve_config
from chain_core.data.schema import Task
from chain_core.modeling.backbones.catalogue import BackboneFacts, read_facts
from chain_core.modeling.backbones.pretrained import load_layers
from chain_core.modeling.backbones.shapes import BackboneShapes, read_shapes
from chain_core.modeling.chain import Chain, count_parameters
from chain_core.modeling.model import build_model
from chain_core.modeling.plan import Workload, compute_plan
from chain_core.modeling.reads import POOLED_KINDS, find_copied_layers, needs_positions
from chain_core.services.runs.execute import _describe_parameters
from tests.tiny import save_tiny_backbone

LABELS = {
    "classification": tuple("abcde"),
    "multilabel": tuple("xyz"),
    "regression": (),
    "tagging": ("O", "B-a", "I-a"),
    "relation": tuple("vw"),
    "span": (),
}
SMALL = {"vocab_size": 99, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4}
BACKBONES = {
    "bert": BertConfig(**SMALL, intermediate_size=48),
    "roberta": RobertaConfig(**SMALL, intermediate_size=48),
    "distilbert": DistilBertConfig(vocab_size=99, dim=32, n_layers=3, n_heads=4, hidden_dim=48),
    "gpt2": GPT2Config(vocab_size=99, n_embd=32, n_layer=3, n_head=4),
    "llama": LlamaConfig(**SMALL, intermediate_size=48, num_key_value_heads=2),
}


@st.composite
def draw_config(draw: st.DrawFn) -> Config:
    """Links of every kind, tied or not, in every course of densities; heads apart, shared or over mixtures."""
    depth = draw(st.integers(0, 6))
    link = st.fixed_dictionaries(
        {
            "kind": st.sampled_from(LINK_KINDS),
            "density": st.floats(0.01, 1),
            "kernel": st.sampled_from([1, 3, 5]),
            "strategy": st.sampled_from(["train", "freeze"]),
        }
    )
    links = draw(st.lists(link, min_size=depth, max_size=depth))
    for position, one in enumerate(links[1:], start=2):
        if draw(st.booleans()):
            tied = draw(st.integers(1, position - 1))
            one |= {key: links[tied - 1][key] for key in ("kind", "density", "kernel")} | {"tie": tied}
    for one in links:
        if one["kind"] == "backbone" and "tie" not in one and draw(st.booleans()):
            one["tie"] = "backbone"
    course = draw(st.sampled_from(["constant", "growing", "shrinking"]))
    if any(isinstance(one.get("tie"), int) for one in links):
        course = "constant"  # tied links are equally dense
    positions = st.one_of(st.just("last"), st.integers(0, depth))
    # A table of tokens has no answers in its texts, a table of texts no tags.
    kinds = sorted(set(LABELS) - {draw(st.sampled_from(["span", "tagging"]))})
    heads = {
        f"head{index}": {
            "kind": kind,
            "column": "c",
            "spans": ["a", "b"] if kind == "relation" else None,
            "crf": draw(st.sampled_from(["auto", "on", "off"] if kind == "tagging" else ["auto", "off"])),
            "pooling": draw(st.sampled_from(["auto", "row"] if kind in POOLED_KINDS else ["auto"])),
            "depths": draw(
                st.lists(positions, min_size=1, max_size=3, unique_by=lambda d: depth if d == "last" else d)
            ),
            **draw(st.sampled_from([{}, {"share": True}, {"mixture": True}])),
        }
        for index, kind in enumerate(draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=4)))
    }
    tags = any(head["kind"] == "tagging" for head in heads.values())
    return resolve_config(
        {
            "data": {"train": "t.csv"},
            "input": {"tokens": "tokens"} if tags else {"text": "t", **draw(st.sampled_from([{}, {"pair": "p"}]))},
            "chain": {
                "depth": depth,
                "width": draw(st.sampled_from([8, 10, 32, 72, 80])),
                "links": links,
                "densities": course,
                "lexical": draw(st.sampled_from(["auto", "on", "off"])),
            },
            "heads": heads,
            "backbone": {"tuning": draw(st.sampled_from(["frozen", "full"]))},
        }
    )


def build_tasks(config: Config) -> list[Task]:
    return [Task(name, head.kind, head.column, LABELS[head.kind]) for name, head in (config.heads or {}).items()]


def count_classes(config: Config) -> dict[str, int]:
    return {name: len(LABELS[head.kind]) or 1 for name, head in (config.heads or {}).items()}


def make_facts(num_layers: int = 6, hidden_size: int = 40) -> BackboneFacts:
    return BackboneFacts("b", Path(), "bert", num_layers, hidden_size, 4 * hidden_size, 99, 128, 1000)


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory):
    """A backbone of 6 layers: its facts, shapes and layers."""
    facts = read_facts(str(save_tiny_backbone(tmp_path_factory.mktemp("plan"), layers=6)))
    return facts, read_shapes(facts.folder, 6), load_layers(facts, range(1, 7))


@settings(max_examples=80)
@given(config=draw_config())
def test_chain_counts_are_exact(drawn, config: Config) -> None:
    facts, shapes, layers = drawn
    plan = compute_plan(config, facts, shapes, count_classes(config))
    sources = {position: layers[number] for position, number in find_copied_layers(config, 6).items()}
    chain = Chain(config, build_tasks(config), facts, sources=sources)
    assert plan.taps == chain.taps
    by_kind = {kind: [part for part in plan.parts if part.kind == kind] for kind in ("lexical", "link", "head")}
    assert [part.parameters for part in by_kind["link"]] == [count_parameters(cell) for cell in chain.cells]
    assert [part.trainable for part in by_kind["link"]] == [
        count_parameters(cell, trainable=True) for cell in chain.cells
    ]
    assert [(part.name, part.position) for part in by_kind["head"]] == chain.keys
    assert [part.parameters for part in by_kind["head"]] == [
        0 if index else count_parameters(seat) for seat in chain.heads for index in range(len(seat.keys))
    ]
    assert sum(part.parameters for part in by_kind["lexical"]) == (
        count_parameters(chain.lexical) if chain.lexical else 0
    )
    assert needs_positions(config) == (not plan.pooled)


@pytest.mark.parametrize("kind", BACKBONES)
@pytest.mark.parametrize(
    "tuning",
    [
        {"tuning": "frozen"},
        {"tuning": "lora", "rank": 3},
        {"tuning": "lora", "rank": 2, "layers": 1},
        {"tuning": "rslora", "targets": ["query", "v_lin", "c_proj", "up_proj"]},
        {"tuning": "dora", "rank": 2},
        {"tuning": "dora", "rank": 2, "layers": 2},
        {"tuning": "adalora", "rank": 4, "layers": 2},
        {"tuning": "ia3"},
        {"tuning": "ia3", "layers": 1},
        {"tuning": "prefix", "prefix_length": 3},
        {"tuning": "prefix", "prefix_length": 20, "layers": 2},
        {"tuning": "norm"},
        {"tuning": "norm", "layers": 2},
        {"tuning": "full"},
        {"tuning": "full", "layers": 2},
    ],
    ids=str,
)
def test_backbone_counts_are_exact(tmp_path: Path, kind: str, tuning: dict) -> None:
    torch.manual_seed(0)
    AutoModel.from_config(BACKBONES[kind]).save_pretrained(tmp_path)
    config = resolve_config(
        {
            "data": {"train": "t.csv"},
            "backbone": {"name": str(tmp_path), **tuning},
            "chain": {"depth": 2, "width": 16},
            "heads": {"h": {"kind": "classification", "column": "c", "depths": [0, 2]}},
        }
    )
    facts = read_facts(str(tmp_path))
    plan = compute_plan(config, facts, read_shapes(facts.folder, facts.num_layers), {"h": 5})
    model = build_model(config, build_tasks(config), facts)
    assert plan.parts[0].trainable == (count_parameters(model.upper, trainable=True) if model.upper else 0)
    assert plan.trainable == count_parameters(model, trainable=True)
    assert _describe_parameters(model, facts)["total"] == plan.parameters


def test_targets_narrow_lora(tmp_path: Path) -> None:
    AutoModel.from_config(BACKBONES["bert"]).save_pretrained(tmp_path)
    shapes = read_shapes(tmp_path, 3)
    assert set(shapes.find_target_names()) == {"query", "key", "value", "dense"}
    config = BackboneConfig(tuning="lora", rank=2, targets=("query", "value"))
    assert shapes.count_lora(0, config) == 3 * 2 * 2 * (32 + 32)


def test_more_work_takes_longer_and_more_memory() -> None:
    shapes = BackboneShapes(({"a.weight": (40, 40)},) * 6, 0)

    def plan(overrides: dict, workload: Workload):
        config = resolve_config(
            {
                "data": {"train": "t"}, "heads": {"h": {"kind": "classification", "column": "c"}},
                "train": {"batch_size": 64}, **overrides,
            }
        )  # fmt: skip
        return compute_plan(config, make_facts(), shapes, {"h": 5}, workload, 100.0)

    small, large = Workload(100, 20, 10.0, 30), Workload(10_000, 2_000, 10.0, 30)
    deep = {"chain": {"depth": 9, "links": {"kind": "attention"}}}
    tuned = {"backbone": {"tuning": "full"}}
    assert plan({}, small).seconds < plan({}, large).seconds < plan(deep, large).seconds
    assert plan({}, small).memory < plan(deep, small).memory
    assert plan(deep, small).memory < plan({**deep, **tuned}, small).memory
    copies = {"chain": {"depth": 9, "links": {"kind": "backbone"}}}
    tied = {"chain": {"depth": 9, "links": {"kind": "attention", "tie": 1}}}
    assert plan(deep, small).memory < plan(copies, small).memory
    assert plan(tied, small).memory < plan(deep, small).memory
    adamw = {"train": {"optimiser": "adamw"}}
    one, each = plan({**tied, **adamw}, large).seconds, plan({**deep, **adamw}, large).seconds
    assert one == each, "one set of parameters, as many products"
    assert plan(tied, large).seconds < plan(deep, large).seconds, "Muon moves each matrix once"
    stages = [{"epochs": 3}, {"epochs": 4}]
    assert plan({"stages": stages}, small).seconds == plan({"train": {"batch_size": 64, "epochs": 7}}, small).seconds
    whole, pruned, adalora = (
        plan({"train": {"batch_size": 64, "prune": share}, "backbone": {"tuning": tuning}}, large).seconds
        for share, tuning in ((0.0, "lora"), (0.9, "lora"), (0.9, "adalora"))
    )
    assert pruned < 0.9 * whole == 0.9 * adalora
    assert plan({"train": {"batch_size": 64, "prune": 0.0}}, small).seconds == plan({}, small).seconds
    assert plan(adamw, large).seconds < plan({}, large).seconds < 3 * plan(adamw, large).seconds
    open_size, fixed = (plan({"train": {"batch_size": size}}, large) for size in (None, 64))
    assert open_size == fixed, "there are rows enough for the largest"
    last, averaged = (plan({"train": {"batch_size": 64, "average": share}}, small) for share in (0.0, 0.1))
    assert averaged.memory - last.memory == 4 * sum(part.trainable for part in averaged.parts)
    assert plan({}, small).disk < plan({}, large).disk
    assert plan(tuned, large).disk == 0
    trains, last = ["links", "heads"], {"epochs": 2}
    cached, resting = [{"trains": trains, "epochs": 6}, last], [{"trains": ["heads"], "epochs": 6}, last]
    first, second = plan({**tuned, "stages": cached}, large), plan({**tuned, "stages": cached[::-1]}, large)
    assert first.disk == len({*first.taps}) * 12_000 * 10 * 40 * 2, "what a frozen backbone's runs read"
    assert second.disk == 0
    assert first.seconds < second.seconds < plan({**tuned, "stages": [{"epochs": 6}, last]}, large).seconds
    assert plan({**tuned, "stages": resting}, large).seconds == first.seconds


def test_unknown_rows_give_no_seconds() -> None:
    config = resolve_config({"data": {"train": "t"}, "heads": {"h": {"kind": "regression", "column": "c"}}})
    assert compute_plan(config, make_facts(), BackboneShapes(({},) * 6, 0), {"h": 1}).seconds is None


def test_masks_kept_in_older_files_are_no_parameters(tmp_path: Path) -> None:
    AutoModel.from_config(BACKBONES["gpt2"]).save_pretrained(tmp_path)
    before = read_shapes(tmp_path, 3)
    weights = load_file(tmp_path / "model.safetensors")
    masks = {f"h.{layer}.attn.bias": torch.ones(1, 1, 64, 64) for layer in range(3)}
    save_file({**weights, **masks}, tmp_path / "model.safetensors", metadata={"format": "pt"})
    assert read_shapes(tmp_path, 3) == before
