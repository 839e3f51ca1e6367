"""Links that begin from a backbone layer's weights, against the layers themselves."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from chain_core.config import LinkConfig
from chain_core.errors import ConfigError
from chain_core.modeling.backbones.catalogue import read_facts
from chain_core.modeling.backbones.pretrained import load_layers
from chain_core.modeling.backbones.shapes import read_shapes
from chain_core.modeling.links.families import find_names
from chain_core.modeling.links.kinds import build_link
from chain_core.modeling.links.link import Site, build_basis
from chain_core.modeling.links.matrices import read_matrices
from tests.tiny import FAMILIES, save_tiny_vit

ALL = (*FAMILIES, "vit")


@pytest.fixture(scope="module")
def folders(backbones, tmp_path_factory):
    """Family -> the folder of its model."""
    return {**backbones, "vit": save_tiny_vit(tmp_path_factory.mktemp("vit"))}


@pytest.fixture(scope="module")
def layers(folders):
    """Family -> its third layer, norms and biases as trained ones would have."""
    torch.manual_seed(5)
    found = {}
    for family, folder in folders.items():
        layer = found[family] = load_layers(read_facts(str(folder)), [3])[3]
        for parameter in layer.layer.parameters():
            parameter.data.add_(torch.randn_like(parameter) * 0.2)
    return found


@pytest.fixture
def inputs():
    torch.manual_seed(1)
    return torch.randn(2, 6, 32), torch.arange(6) < torch.tensor([[6], [4]])


def build(layers, family, kind, *, width=32, density=1.0):
    torch.manual_seed(0)
    site = Site(layers[family].causal, False, layers[family], build_basis(width, 32))
    return build_link(width, LinkConfig(kind=kind, init="backbone", density=density), site).eval()


def attend_as_layer(layer, family, states, mask):
    """The family's own attention module on states that its norm has left without gain, before any residual."""
    called = {"attention_mask": layer._build_mask(states, mask)}
    module = layer.layer
    if family in ("bert", "roberta"):
        mixed = module.attention.self(states, **called)[0]
        return module.attention.output.dense(mixed)
    if family == "distilbert":
        return module.attention(states, **called)[0]
    if family == "gpt2":
        return module.attn(module.ln_1(states), **called)[0]
    return module.attention(module.layernorm_before(states), **called)[0]


@pytest.mark.parametrize("family", [family for family in ALL if family != "llama"])
def test_attention_as_wide_as_the_backbone_attends_as_its_layer(layers, inputs, family):
    link, (x, mask) = build(layers, family, "attention"), inputs
    with torch.no_grad():
        link.back.weight.zero_()
        link.back.bias.zero_()
        # Where the norms stand behind, the link's own stands in front.
        entering = x if family in ("gpt2", "vit") else F.layer_norm(x, (32,))
        expected = attend_as_layer(layers[family], family, entering, mask)
        torch.testing.assert_close(link(x, mask)[mask], expected[mask], rtol=1e-3, atol=1e-4)


def test_attention_as_wide_as_a_vit_does_what_its_layer_does(layers, inputs):
    link, (x, mask) = build(layers, "vit", "attention"), inputs
    with torch.no_grad():
        torch.testing.assert_close(link(x, mask), layers["vit"](x, mask) - x, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("family", ALL)
def test_the_family_is_known_from_the_names_in_its_file(folders, family):
    shapes = read_shapes(folders[family], 4)
    assert find_names({name.removesuffix(".weight") for name in shapes.layers[0]}) is not None


@pytest.mark.parametrize("family", ALL)
def test_llama_and_all_others_are_read_whole(layers, family):
    matrices = read_matrices(layers[family])
    assert matrices.query.shape == matrices.key.shape == matrices.value.shape == (4, 8, 33)
    assert matrices.output.shape == (32, 33)
    assert matrices.up.shape[1] == matrices.down.shape[0] + 1 == 33
    assert len(matrices.up) == matrices.down.shape[1] - 1


def test_llamas_heads_share_keys_and_values(layers):
    matrices, attention = read_matrices(layers["llama"]), layers["llama"].layer.self_attn
    x = torch.randn(32)
    gain = layers["llama"].layer.input_layernorm.weight
    keys = attention.k_proj(x * gain).view(2, 8)
    for head in range(4):
        torch.testing.assert_close(matrices.key[head, :, :-1] @ x, keys[head // 2])


@pytest.mark.parametrize("family", ["bert", "gpt2", "vit", "distilbert"])
def test_bottleneck_is_the_feed_forward_part(layers, inputs, family):
    link, x = build(layers, family, "bottleneck", density=1.0), inputs[0]
    matrices = read_matrices(layers[family])
    strength = matrices.up[:, :-1].square().sum(1) + matrices.up[:, -1].square()
    strength = strength.sqrt() * matrices.down[:, :-1].norm(dim=0)
    kept = strength.topk(32).indices
    normed = F.layer_norm(x, (32,))
    inner = F.gelu(normed @ matrices.up[kept, :-1].T + matrices.up[kept, -1])
    expected = inner @ matrices.down[:, kept].T + matrices.down[:, -1]
    torch.testing.assert_close(link(x, inputs[1]), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("family", ["bert", "llama"])
def test_linear_is_the_product_of_values_and_output(layers, inputs, family):
    matrices, (x, mask) = read_matrices(layers[family]), inputs
    normed = F.layer_norm(x, (32,))
    values = normed @ matrices.value.flatten(0, 1)[:, :-1].T + matrices.value.flatten()[32::33]
    expected = values @ matrices.output[:, :-1].T + matrices.output[:, -1]
    torch.testing.assert_close(build(layers, family, "linear")(x, mask), expected, rtol=1e-4, atol=1e-5)
    close, closer = (
        (build(layers, family, "linear", density=density)(x, mask) - expected).norm() for density in (0.3, 0.99)
    )
    assert closer < close < expected.norm()


@pytest.mark.parametrize("width", [16, 24, 48])
@pytest.mark.parametrize("kind", ["linear", "bottleneck", "attention"])
@pytest.mark.parametrize("family", ALL)
@pytest.mark.parametrize("density", [0.2, 1.0])
def test_any_width_takes_what_fits(layers, family, kind, width, density):
    link = build(layers, family, kind, width=width, density=density)
    x = torch.randn(2, 6, width)
    change = link(x, torch.ones(2, 6, dtype=torch.bool))
    assert change.isfinite().all()
    assert change.abs().sum() > 0


def test_a_wider_chain_keeps_all_that_the_layer_does(layers, inputs):
    """With more features than the backbone nothing is lost: the wide link is the narrow one seen through the basis."""
    narrow, wide = build(layers, "vit", "attention"), build(layers, "vit", "attention", width=64)
    basis = build_basis_of(wide, narrow)
    x, mask = inputs
    x = x - x.mean(2, keepdim=True)
    with torch.no_grad():
        for link in (narrow, wide):  # the norms see other means and scales in another width
            link.norm = link.norm_between = torch.nn.Identity()
        torch.testing.assert_close(wide(x @ basis.T, mask), narrow(x, mask) @ basis.T, rtol=1e-3, atol=1e-3)


def build_basis_of(wide, narrow):
    torch.manual_seed(0)
    basis = build_basis(64, 32)
    torch.testing.assert_close(basis.T @ basis, torch.eye(32), rtol=1e-4, atol=1e-5)
    return basis


def test_an_unknown_family_is_named(layers):
    odd = layers["bert"].copy()
    odd.layer = torch.nn.Linear(32, 32)
    site = replace(Site(), layer=odd, basis=torch.eye(32))
    with pytest.raises(ConfigError) as caught:
        build_link(32, LinkConfig(kind="linear", init="backbone"), site)
    assert caught.value.code == "init_backbone_family"
