"""What each tuning adds, trains, and starts from, in every family."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from chain_core.config import TUNINGS, BackboneConfig
from chain_core.errors import BackboneError
from chain_core.modeling.backbones.backbone import build_upper, load_backbone
from chain_core.modeling.backbones.catalogue import read_facts
from chain_core.modeling.backbones.prefixes import attend
from chain_core.modeling.backbones.reach import is_reached
from chain_core.modeling.backbones.shapes import BackboneShapes, read_shapes
from chain_core.modeling.backbones.tuning import TUNINGS as BUILDERS
from chain_core.modeling.model import load_lower
from tests.tiny import FAMILIES, VOCABULARY

MARKS = {"ia3": "ia3_l", "prefix": ".prefix.", "norm": ("norm", "ln_", "Norm")}


def build(facts, base, tuning, **settings):
    torch.manual_seed(1)
    config = BackboneConfig(tuning=tuning, layers=4 - base, rank=3, dropout=0.0, prefix_length=5, **settings)
    return build_upper(load_backbone(facts, trained=True), facts, base, config)


@pytest.mark.parametrize(("tuning", "divisor"), [("lora", 3.0), ("dora", 3.0), ("rslora", 3.0**0.5)])
def test_an_adapter_is_scaled_by_alpha_over_its_rank_or_the_root_of_it(backbones, tuning, divisor):
    """rsLoRA: Kalajdzievski 2023, arXiv 2312.03732."""
    from peft.tuners.lora import LoraLayer

    upper = build(read_facts(str(backbones["bert"])), 2, tuning, alpha=7.0)
    scales = {scale for part in upper.modules() if isinstance(part, LoraLayer) for scale in part.scaling.values()}
    assert {round(scale, 6) for scale in scales} == {round(7.0 / divisor, 6)}


def test_an_adapter_drops_as_much_as_it_is_told(backbones):
    from peft.tuners.lora import LoraLayer

    facts = read_facts(str(backbones["bert"]))
    config = BackboneConfig(tuning="lora", layers=1, dropout=0.25)
    upper = build_upper(load_backbone(facts, trained=True), facts, 3, config)
    inside = [part.lora_dropout for part in upper.modules() if isinstance(part, LoraLayer)]
    assert inside
    assert {dropout.p for each in inside for dropout in each.values()} == {0.25}


def test_every_tuning_has_a_builder():
    assert {*BUILDERS, "frozen"} == set(TUNINGS)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("tuning", sorted(BUILDERS))
@pytest.mark.parametrize("base", [0, 2])
def test_gradients_reach_what_is_trained_and_nothing_else(backbones, rows, family, tuning, base):
    facts = read_facts(str(backbones[family]))
    ids, mask = rows
    upper = build(facts, base, tuning)
    given = load_lower(facts, base)(mask, ids)[base] if base else None
    states = upper(mask, ids if base == 0 else None, given=given)
    sum(states[layer][mask].square().sum() for layer in states).backward()
    trained = {name for name, parameter in upper.named_parameters() if parameter.requires_grad}
    touched = {name for name, parameter in upper.named_parameters() if parameter.grad is not None}
    assert trained
    assert touched - trained == set()
    assert not {name for name in trained - touched if "position" not in name and "token_type" not in name}
    if tuning != "full":
        marks = MARKS.get(tuning, "lora_")
        assert all(any(mark in name for mark in ([marks] if isinstance(marks, str) else marks)) for name in trained)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("tuning", ["rslora", "dora", "adalora", "ia3", "norm"])
def test_adapters_start_as_the_backbone_they_wrap(backbones, rows, family, tuning):
    facts = read_facts(str(backbones[family]))
    ids, mask = rows
    with torch.no_grad():
        tuned = build(facts, 0, tuning).eval()(mask, ids)[4]
        plain = build(facts, 0, "full").eval()(mask, ids)[4]
    torch.testing.assert_close(tuned[mask], plain[mask], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_cached_lower_half_gives_prefixes_the_same_states(backbones, rows, family):
    """The prefix stands in the tuned layers only, so the uncached way is the tuned half after a plain lower half."""
    facts = read_facts(str(backbones[family]))
    ids, mask = rows
    upper = build(facts, 2, "prefix").eval()
    whole = build(facts, 0, "prefix").eval()
    for layer in (0, 1):
        for module in find_layers_of(whole)[layer].modules():
            if hasattr(module, "prefix"):
                del module.prefix
    prefixes = {name: value for name, value in upper.state_dict().items() if ".prefix." in name}
    renamed = {name.replace(".0.", ".2.", 1).replace(".1.", ".3.", 1): value for name, value in prefixes.items()}
    assert len(renamed) == 4
    _, unexpected = whole.load_state_dict(renamed, strict=False)
    assert not unexpected
    with torch.no_grad():
        half = upper(mask, given=load_lower(facts, 2)(mask, ids)[2])
        full = whole(mask, ids)
    for layer in (3, 4):
        torch.testing.assert_close(half[layer][mask], full[layer][mask], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_prefixes_change_every_position_and_respect_the_masks(backbones, rows, family):
    facts = read_facts(str(backbones[family]))
    ids, mask = rows
    upper = build(facts, 0, "prefix").eval()
    with torch.no_grad():
        before = upper(mask, ids)[4]
        plain = build(facts, 0, "full").eval()(mask, ids)[4]
        assert ((before - plain).abs().amax(2) > 1e-4)[mask].all()
        # Other words at the padding change nothing; in a decoder neither do later words change earlier positions.
        other = torch.where(mask, ids, torch.full_like(ids, 9))
        torch.testing.assert_close(upper(mask, other)[4][mask], before[mask], rtol=1e-4, atol=1e-5)
        later = ids.clone()
        later[0, 8] = (ids[0, 8] + 1) % len(VOCABULARY)
        changed = (upper(mask, later)[4][0] - before[0]).abs().amax(1) > 1e-6
    assert changed[8]
    assert changed[:8].any() == (not facts.causal)


@pytest.mark.parametrize("masked", [False, True])
def test_attention_with_a_prefix_is_attention_over_more_positions(masked):
    torch.manual_seed(0)
    query, key, value = torch.randn(2, 4, 6, 8), torch.randn(2, 2, 6, 8), torch.randn(2, 2, 6, 8)
    keys, values = torch.randn(2, 3, 8), torch.randn(2, 3, 8)
    mask = torch.zeros(2, 1, 6, 6)
    mask[1, :, :, 4:] = torch.finfo(torch.float32).min
    module = nn.Module()
    module.prefix = nn.Module()
    module.prefix.keys, module.prefix.values = nn.Parameter(keys), nn.Parameter(values)
    mixed, _ = attend(module, query, key, value, mask if masked else None, scaling=0.5)
    longer = torch.cat([keys.expand(2, -1, -1, -1), key], 2).repeat_interleave(2, 1)
    deeper = torch.cat([values.expand(2, -1, -1, -1), value], 2).repeat_interleave(2, 1)
    allowed = torch.cat([torch.ones(2, 1, 6, 3, dtype=torch.bool), mask == 0], 3) if masked else None
    expected = nn.functional.scaled_dot_product_attention(query, longer, deeper, allowed, scale=0.5)
    torch.testing.assert_close(mixed, expected.transpose(1, 2))


def test_a_family_with_unknown_names_is_refused(backbones):
    facts = read_facts(str(backbones["bert"]))
    model = load_backbone(facts)
    for layer in model.encoder.layer:
        layer.attention.self.clef, layer.attention.self.key = layer.attention.self.key, nn.Identity()
        layer.attention.self.worth, layer.attention.self.value = layer.attention.self.value, nn.Identity()
    with pytest.raises(BackboneError) as caught:
        build_upper(model, facts, 0, BackboneConfig(tuning="ia3"))
    assert caught.value.code == "tuning_unsupported"


@pytest.mark.parametrize("family", FAMILIES)
def test_what_a_tuning_reaches_is_told_from_the_files(backbones, family):
    facts = read_facts(str(backbones[family]))
    shapes = read_shapes(facts.folder, facts.num_layers)
    assert all(is_reached(tuning, facts.model_type, shapes, 2) for tuning in TUNINGS)
    assert not is_reached("prefix", "deberta-v2", shapes, 2)
    odd = BackboneShapes(({"attention.clef.weight": (8, 8), "output.dense.weight": (8, 8)},), 0)
    assert not is_reached("ia3", facts.model_type, odd, 0)
    assert is_reached("prefix", "nowhere_known", odd, 0)


def test_no_slow_dropout_is_left_in_a_trained_half(backbones):
    facts = read_facts(str(backbones["bert"]))
    for tuning in ("lora", "dora", "adalora"):
        upper = build_upper(load_backbone(facts, trained=True), facts, 1, BackboneConfig(tuning=tuning, layers=3))
        assert not [module for module in upper.modules() if type(module) is nn.Dropout and module.p > 0]


def find_layers_of(upper):
    return next(module for module in upper.modules() if isinstance(module, nn.ModuleList) and len(module) == 4)
