"""Rows for every family of backbones."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.tiny import VOCABULARY


@pytest.fixture
def rows() -> tuple[Tensor, Tensor]:
    """Token ids, (3, 9), and their mask, of three lengths."""
    torch.manual_seed(0)
    ids = torch.randint(4, len(VOCABULARY), (3, 9))
    mask = torch.arange(9) < torch.tensor([[9], [4], [6]])
    return ids * mask, mask
