"""Single layers of a pretrained model: taken out of it, called on states alone, and copied."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from chain_core.modeling.backbones.backbone import find_layers, load_backbone
from chain_core.modeling.backbones.catalogue import BackboneFacts


class PretrainedLayer(nn.Module):
    """One layer of a pretrained model with what its family's layers are called with.

    (B, T, H), mask (B, T) bool -> (B, T, H). A decoder's layer stays causal; rotary positions count from the
    row's start.
    """

    def __init__(self, model: nn.Module, layer: nn.Module, *, causal: bool) -> None:
        super().__init__()
        self.layer = layer
        self.rotary = getattr(model, "rotary_emb", None)
        self.causal = causal
        self.config: Any = model.config

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        # By name throughout: what stands second differs between the families.
        given: dict[str, Any] = {"attention_mask": self._build_mask(states, mask)}
        if self.rotary is not None:
            given["position_ids"] = torch.arange(states.shape[1], device=states.device)[None]
            given["position_embeddings"] = self.rotary(states, position_ids=given["position_ids"])
        output = self.layer(states, **given)
        return output[0] if isinstance(output, tuple) else output

    def _build_mask(self, states: Tensor, mask: Tensor) -> Any:
        """In the form that the model's kind of attention wants it."""
        from transformers.masking_utils import create_bidirectional_mask, create_causal_mask

        if self.causal:
            return create_causal_mask(self.config, states, mask.long(), None)
        return create_bidirectional_mask(self.config, states, mask.long())

    def copy(self) -> PretrainedLayer:
        """One with parameters of its own, the same at first."""
        twin = copy.copy(self)
        twin._modules = {"layer": copy.deepcopy(self.layer), "rotary": self.rotary}
        return twin

    def reset(self) -> None:
        """Draw all weights anew, as before the pretraining: matrices from N(0, initialiser range), the rest neutral."""
        deviation = getattr(self.config, "initializer_range", 0.02)
        with torch.no_grad():
            for name, parameter in self.layer.named_parameters():
                if parameter.ndim > 1:
                    parameter.normal_(std=deviation)
                else:
                    parameter.fill_(0.0 if name.endswith("bias") else 1.0)


def load_layers(facts: BackboneFacts, numbers: Iterable[int]) -> dict[int, PretrainedLayer]:
    """The pretrained layers of the given numbers, 1 … L, frozen, without dropout."""
    wanted = sorted(set(numbers))
    if not wanted:
        return {}
    model = load_backbone(facts, trained=True).requires_grad_(False)
    layers = find_layers(model, facts.num_layers)
    for module in layers.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return {number: PretrainedLayer(model, layers[number - 1], causal=facts.causal) for number in wanted}
