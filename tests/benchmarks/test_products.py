"""Counted matrix products against torch's own counter, and both speed scripts on tiny shapes."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from tests.benchmarks.gpu import MODES, format_speeds, measure_speeds
from tests.benchmarks.products import Product, ProductCounter, measure_peak, time_products
from tests.benchmarks.rate import format_rate, measure_rate

CPU = torch.device("cpu")


def build_layer():
    torch.manual_seed(0)
    return nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, dropout=0.0)


@pytest.mark.parametrize("learning", [True, False])
def test_counts_are_those_of_torch(learning):
    layer, x = build_layer().train(learning), torch.randn(3, 5, 16)

    def call():
        if learning:
            layer(x).sum().backward()
        else:
            with torch.inference_mode():
                layer.self_attn(x, x, x, need_weights=True)
                nn.functional.linear(x, layer.linear1.weight)

    with FlopCounterMode(display=False) as theirs:
        call()
    with ProductCounter() as ours:
        call()
    # The CPU's fused kernel is not among what torch counts: two products forward, four backward.
    fused = sum(p.multiply_adds for p in ours.products if p.batch == 6) if learning else 0
    assert fused == (6 * 6 * 5 * 5 * 8 if learning else 0)
    assert 2 * (ours.multiply_adds - fused) == theirs.get_total_flops()


def test_operands_keep_their_layout():
    a, b = torch.randn(4, 3), torch.randn(5, 3)
    with ProductCounter() as counter:
        a @ b.T
        torch.bmm(a.expand(2, 4, 3), b.T.expand(2, 3, 5))
    assert counter.products[0] == Product(1, 4, 3, 5, torch.float32, (False, True))
    assert counter.products[1] == Product(2, 4, 3, 5, torch.float32, (False, True))
    assert time_products(counter.products, CPU, repeats=1) > 0


def test_peak_is_positive():
    assert measure_peak(CPU, torch.float32, 64) > 0


def test_rate_of_an_epoch(rows, backbone, tmp_path):
    rate = measure_rate("atis", str(backbone), tmp_path, 40, ["train.batch_size=16", "chain.width=32"])
    assert (rate["rows"], rate["steps"]) == (40, 3)
    assert 0 < rate["bare_seconds"] < rate["epoch_seconds"]
    assert rate["share"] == pytest.approx(rate["bare_seconds"] / rate["epoch_seconds"])
    assert "share" in format_rate(rate)


def test_speeds_of_a_tiny_shape():
    speeds = measure_speeds("tiny", 4, 16, 2, "cpu")
    assert list(speeds["modes"]) == list(MODES)
    full, frozen, features = (speeds["modes"][mode] for mode in ("full", "frozen", "features"))
    assert full["multiply_adds_per_token"] > frozen["multiply_adds_per_token"]
    # A backward pass costs twice its forward pass.
    assert full["multiply_adds_per_token"] > 2 * features["multiply_adds_per_token"]
    assert all(figures["tokens_per_second"] > 0 and figures["share"] > 0 for figures in speeds["modes"].values())
    assert "full" in format_speeds(speeds)
