"""Backbones: any `AutoModel`, run from any layer on, frozen or tuned in its top layers.

A backbone is driven in two halves that meet at layer n: the lower half is frozen, so what it gives for a row never
changes and is cached; the upper half is tuned and starts from the cached states. Frozen: n is the last layer. Tuned
whole: n = 0 and there is no lower half. The halves are made without knowing the architecture: the list of layers is
cut, and a hook puts the given states in front of the first layer that is left.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from chain_core.config import BackboneConfig
from chain_core.errors import BackboneError, ConfigError
from chain_core.modeling.backbones.catalogue import BackboneFacts
from chain_core.modeling.backbones.ranks import RankSchedule
from chain_core.modeling.backbones.tuning import get_final_rank, tune
from chain_core.modeling.dropout import Dropout


@dataclass
class _Call:
    """One pass through a backbone."""

    backbone: Backbone
    given: Tensor | None
    shift: Tensor | None
    states: dict[int, Tensor] = field(default_factory=dict)


_CALL: ContextVar[_Call | None] = ContextVar("call", default=None)
"""This thread's, only while the model runs: a link may call a layer as well."""


class Backbone(nn.Module):
    """Layers `start` … `stop` of a pretrained model; 0 is the embeddings."""

    causal: bool = False
    """Whether a position knows only those before it."""
    fused: bool = False
    """Whether its attention is torch's fused kernel, which gives way to plain products where they are quicker."""

    def __init__(self, model: nn.Module, start: int, stop: int, last: int) -> None:
        super().__init__()
        self.model = model
        self.start = start
        self.stop = stop
        self._last = last
        self.ranks: RankSchedule | None = None
        """Of AdaLoRA alone."""
        layers = find_layers(model, last)
        kept = layers[start:stop]
        config: Any = model.config
        kinds = getattr(config, "layer_types", None)
        if isinstance(kinds, list) and len(kinds) == last:
            config.layer_types = kinds[start:stop]  # which some models read by the place in the list
        del layers[:]
        layers.extend(kept)
        layers[0].register_forward_pre_hook(self._enter, with_kwargs=True)
        for index, layer in enumerate(layers):
            layer.register_forward_hook(partial(self._keep, start + index + 1))

    def _enter(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]):
        """Before the first layer: put the given state in place of the embeddings, or keep them; add the shift."""
        call = self._get_call()
        if call is None:
            return None
        entering = args[0] if args else kwargs["hidden_states"]
        if call.given is not None:
            entering = call.given
        if call.shift is not None:
            entering = entering + call.shift
        call.states[self.start] = entering
        if args:
            return (entering, *args[1:]), kwargs
        return args, {**kwargs, "hidden_states": entering}

    def _keep(self, number: int, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        if call := self._get_call():
            call.states[number] = output[0] if isinstance(output, tuple) else output

    def _get_call(self) -> _Call | None:
        call = _CALL.get()
        return call if call and call.backbone is self else None

    def forward(
        self,
        mask: Tensor,
        input_ids: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        given: Tensor | None = None,
        shift: Tensor | None = None,
    ) -> dict[int, Tensor]:
        """States of layers start … stop, each (B, T, H), from `input_ids` or from the `given` states of layer `start`.

        `shift`, (B, T, H), is added to what enters the first layer. The state of the model's last layer is its final
        output, final norm included.
        """
        if self.fused:
            choose_attention(self.model, short=mask.device.type == "cpu" and is_short(mask.shape[1]))
        inputs: dict[str, Any] = {"attention_mask": mask.long(), "return_dict": True}
        # Embeddings that nothing reads are cheap, and states in their place need not be as wide as they are.
        inputs["input_ids"] = input_ids if given is None else torch.zeros_like(mask, dtype=torch.long)
        if given is None and token_type_ids is not None and getattr(self.model.config, "type_vocab_size", 0) > 1:
            inputs["token_type_ids"] = token_type_ids
        if hasattr(self.model.config, "use_cache"):
            inputs["use_cache"] = False
        call = _Call(self, given, shift)
        token = _CALL.set(call)
        try:
            output = self.model(**inputs)
        finally:
            _CALL.reset(token)
        if self.stop == self._last:
            call.states[self.stop] = output.last_hidden_state
        return call.states


ATTENTION_DROPOUT = ("attention_probs_dropout_prob", "attention_dropout", "attn_pdrop")
"""What the families call the dropout of attention weights."""


def load_backbone(facts: BackboneFacts, *, trained: bool = False) -> nn.Module:
    """The whole pretrained model in float32. Raises BackboneError where its weights do not load.

    `trained`: made to be trained quickly on a CPU. The fused attention kernel's backward pass takes ten times as long
    there as plain products, and drawing a dropout mask for the attention weights as long as the layer itself: the one
    is replaced, the other left out.
    """
    from safetensors import SafetensorError
    from transformers import AutoConfig, AutoModel
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        config = AutoConfig.from_pretrained(str(facts.folder), trust_remote_code=False)
        if trained:
            for name in ATTENTION_DROPOUT:
                if hasattr(config, name):
                    setattr(config, name, 0.0)
        return AutoModel.from_pretrained(
            str(facts.folder),
            config=config,
            dtype=torch.float32,
            trust_remote_code=False,
            use_safetensors=True,
            attn_implementation="eager" if trained and not torch.cuda.is_available() else None,  # the best it has
        )
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise BackboneError("backbone_unreadable", folder=str(facts.folder), reason=reason) from None


SHORT_ROWS = 128
"""Positions up to which plain attention is quicker than the fused kernel on a CPU: at 14 positions, in bfloat16, by a
seventh of the whole pass."""


def is_short(length: int) -> bool:
    """Whether rows of so many positions are."""
    return length <= SHORT_ROWS


def choose_attention(model: Any, *, short: bool) -> None:
    """Plain attention or the fused kernel, from now on."""
    wanted = "eager" if short else "sdpa"
    if model.config._attn_implementation != wanted:
        model.set_attn_implementation(wanted)


def load_input_embeddings(facts: BackboneFacts) -> Tensor:
    """(V, H) float32: the vectors of the vocabulary that the backbone begins with."""
    return get_input_embeddings(load_backbone(facts)).detach().clone()


def get_input_embeddings(model: nn.Module) -> nn.Parameter:
    """A model's own parameter of them, (V, H)."""
    return model.get_input_embeddings().weight  # type: ignore[operator]


def build_lower(model: nn.Module, facts: BackboneFacts, stop: int) -> Backbone:
    """The frozen half below (and including) layer `stop`. Takes the model over."""
    from transformers import PreTrainedModel

    lower = Backbone(model, 0, stop, facts.num_layers).eval()
    lower.causal = facts.causal
    lower.fused = isinstance(model, PreTrainedModel) and model.config._attn_implementation == "sdpa"
    return lower.requires_grad_(False)


def build_upper(model: nn.Module, facts: BackboneFacts, start: int, config: BackboneConfig) -> Backbone:
    """The tuned half above layer `start`, its trainable parameters marked. Takes the model over."""
    tune(model, find_layers(model, facts.num_layers), facts, start, config)
    upper = Backbone(model, start, facts.num_layers, facts.num_layers)
    if config.tuning == "adalora":
        upper.ranks = RankSchedule(config.rank, get_final_rank(config))
    _replace_dropout(upper)
    if start:
        layers = find_layers(upper.model, facts.num_layers - start)
        inside = {id(parameter) for parameter in layers.parameters()}
        for parameter in upper.model.parameters():
            if id(parameter) not in inside:
                parameter.requires_grad_(False)
    for name, parameter in upper.model.named_parameters():
        if "pooler" in name:
            # Sentence encoders bring a pooling layer that hidden states never pass through.
            parameter.requires_grad_(False)
    return upper


def count_tuned(config: BackboneConfig, facts: BackboneFacts) -> int:
    """How many top layers are tuned. Raises ConfigError where the backbone has fewer."""
    if config.tuning == "frozen":
        return 0
    if config.layers is not None and config.layers > facts.num_layers:
        raise ConfigError("must_be_at_most", path="backbone.layers", given=config.layers, limit=facts.num_layers)
    return config.layers or facts.num_layers


def find_layers(model: nn.Module, count: int) -> nn.ModuleList:
    """The model's list of layers: its first ModuleList of that length."""
    for module in model.modules():
        if isinstance(module, nn.ModuleList) and len(module) == count:
            return module
    raise BackboneError("backbone_unsupported", name=type(model).__name__, model_type=type(model).__name__)


def _replace_dropout(module: nn.Module) -> None:
    """torch's dropout by the one whose mask costs less."""
    for name, child in module.named_children():
        if type(child) is nn.Dropout:
            setattr(module, name, Dropout(child.p))
        else:
            _replace_dropout(child)
