"""Where a run computes, and in which precision."""

from __future__ import annotations

import pytest
import torch

from chain_core.modeling import device
from chain_core.modeling.device import autocast, choose_precision, name_precision


@pytest.mark.parametrize("native", [True, False])
def test_precision_is_as_asked_for_or_what_the_chip_multiplies(monkeypatch: pytest.MonkeyPatch, native: bool) -> None:
    cpu = torch.device("cpu")
    monkeypatch.setattr(device, "has_native_bf16", lambda: native)
    assert choose_precision("fp32", cpu) == torch.float32
    assert choose_precision("bf16", cpu) == torch.bfloat16
    assert choose_precision("auto", cpu) == (torch.bfloat16 if native else torch.float32)
    assert choose_precision("fp16", cpu) == torch.float16
    assert choose_precision("auto", torch.device("mps")) == torch.float32


@pytest.mark.parametrize(
    ("native", "capability", "expected"), [(True, (8, 0), "bf16"), (False, (7, 5), "fp16"), (False, (6, 1), "fp32")]
)
def test_precision_on_a_gpu(monkeypatch: pytest.MonkeyPatch, native: bool, capability, expected: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: native and not including_emulation)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert name_precision(choose_precision("auto", torch.device("cuda"))) == expected


def test_products_are_made_in_the_precision_and_sums_in_float32() -> None:
    cpu, one = torch.device("cpu"), torch.ones(4, 4)
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        with autocast(cpu, dtype):
            assert (one @ one).dtype == dtype
            assert one.sum().dtype == torch.float32
