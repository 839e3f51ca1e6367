"""Driving a backbone in two halves gives what the whole gives, for every family."""

from __future__ import annotations

import pytest
import torch

from chain_core.config import BackboneConfig
from chain_core.errors import BackboneError, ConfigError
from chain_core.modeling.backbones import backbone
from chain_core.modeling.backbones.backbone import build_upper, count_tuned, load_backbone
from chain_core.modeling.backbones.catalogue import read_facts
from chain_core.modeling.model import load_lower
from tests.tiny import FAMILIES, save_tiny_backbone


def compute_whole(facts, ids, mask):
    model = load_backbone(facts).eval()
    with torch.no_grad():
        output = model(input_ids=ids, attention_mask=mask.long(), output_hidden_states=True)
    return [*output.hidden_states[:-1], output.last_hidden_state]


@pytest.fixture(scope="session")
def uneven(tmp_path_factory):
    """Layers that attend in different ways; embeddings narrower than the layers."""
    folder = tmp_path_factory.mktemp("uneven")
    return {family: save_tiny_backbone(folder / family, family) for family in ("gemma3_text", "electra")}


@pytest.mark.parametrize("family", [*FAMILIES, "gemma3_text", "electra"])
@pytest.mark.parametrize("base", [1, 2, 3])
def test_halves_equal_the_whole(backbones, uneven, rows, family, base):
    facts = read_facts(str({**backbones, **uneven}[family]))
    ids, mask = rows
    whole = compute_whole(facts, ids, mask)
    lower = load_lower(facts, base)
    upper = build_upper(load_backbone(facts), facts, base, BackboneConfig(tuning="full", layers=4 - base)).eval()
    with torch.no_grad():
        low = lower(mask, ids)
        high = upper(mask, given=low[base])
    for layer in range(base + 1):
        torch.testing.assert_close(low[layer][mask], whole[layer][mask])
    for layer in range(base, 5):
        torch.testing.assert_close(high[layer][mask], whole[layer][mask], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_frozen_backbone_gives_every_layer_and_no_gradient(backbones, rows, family):
    facts = read_facts(str(backbones[family]))
    ids, mask = rows
    lower = load_lower(facts, facts.num_layers)
    states = lower(mask, ids)
    assert sorted(states) == [0, 1, 2, 3, 4]
    assert not any(parameter.requires_grad for parameter in lower.parameters())
    for layer, whole in enumerate(compute_whole(facts, ids, mask)):
        torch.testing.assert_close(states[layer][mask], whole[mask])


@pytest.mark.parametrize("family", FAMILIES)
def test_a_frozen_half_gives_the_same_by_either_attention(backbones, rows, family, monkeypatch):
    facts = read_facts(str(backbones[family]))
    ids, mask = rows
    lower = load_lower(facts, facts.num_layers)
    kernels, states = [], []
    for longest in (mask.shape[1], mask.shape[1] - 1, mask.shape[1]):
        monkeypatch.setattr(backbone, "SHORT_ROWS", longest)
        states.append(lower(mask, ids))
        kernels.append(lower.model.config._attn_implementation)
    assert kernels == ["eager", "sdpa", "eager"]
    for layer, plain in states[0].items():
        torch.testing.assert_close(states[1][layer][mask], plain[mask], rtol=1e-4, atol=1e-5)
        assert torch.equal(states[2][layer], plain)


@pytest.mark.parametrize("family", FAMILIES)
def test_lora_trains_its_factors_in_the_top_layers_alone(backbones, rows, family):
    facts = read_facts(str(backbones[family]))
    ids, mask = rows
    config = BackboneConfig(tuning="lora", layers=2, rank=3, dropout=0.0)
    upper = build_upper(load_backbone(facts), facts, 2, config)
    trained = [name for name, parameter in upper.named_parameters() if parameter.requires_grad]
    assert trained
    assert all("lora_" in name for name in trained)
    given = load_lower(facts, 2)(mask, ids)[2]
    upper(mask, given=given)[4][mask].sum().backward()
    touched = [name for name, parameter in upper.named_parameters() if parameter.grad is not None]
    assert sorted(touched) == sorted(trained)


def test_lora_starts_as_the_backbone_it_wraps(backbones, rows):
    facts = read_facts(str(backbones["bert"]))
    ids, mask = rows
    upper = build_upper(load_backbone(facts), facts, 0, BackboneConfig(tuning="lora")).eval()
    whole = compute_whole(facts, ids, mask)
    torch.testing.assert_close(upper(mask, ids)[4][mask], whole[4][mask])


def test_unknown_lora_target_names_the_known_ones(backbones):
    facts = read_facts(str(backbones["bert"]))
    config = BackboneConfig(tuning="lora", targets=("quary",))
    with pytest.raises(ConfigError, match="query") as caught:
        build_upper(load_backbone(facts), facts, 0, config)
    assert caught.value.path == "backbone.targets"


def test_targets_by_name(backbones):
    facts = read_facts(str(backbones["bert"]))
    upper = build_upper(load_backbone(facts), facts, 0, BackboneConfig(tuning="lora", targets=("query",)))
    names = {name.split(".lora_")[0].rpartition(".")[2] for name, p in upper.named_parameters() if p.requires_grad}
    assert names == {"query"}


def test_too_many_layers(backbones):
    facts = read_facts(str(backbones["bert"]))
    with pytest.raises(ConfigError) as caught:
        count_tuned(BackboneConfig(tuning="full", layers=5), facts)
    assert caught.value.path == "backbone.layers"


def test_damaged_weights(tmp_path, backbones):
    folder = tmp_path / "broken"
    folder.mkdir()
    for name in ("config.json", "tokenizer.json"):
        (folder / name).write_bytes((backbones["bert"] / name).read_bytes())
    whole = (backbones["bert"] / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    facts = read_facts(str(backbones["bert"]))
    with pytest.raises(BackboneError, match="cannot be loaded"):
        load_backbone(type(facts)(**{**facts.__dict__, "folder": folder}))
