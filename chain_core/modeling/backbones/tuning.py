"""What a tuning adds to a backbone, and which of its parameters it trains: one function a tuning, all in TUNINGS.

The adapters are peft's; each starts as no change at all (but for prefixes, which start as the layers' own keys and
values of random words). What was not added and is not named here stays frozen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn

from chain_core.config import BackboneConfig
from chain_core.errors import BackboneError, ConfigError
from chain_core.modeling.backbones.catalogue import BackboneFacts
from chain_core.modeling.backbones.prefixes import add_prefixes
from chain_core.modeling.backbones.ranks import ADAPTER
from chain_core.modeling.backbones.shapes import find_ia3_names, is_target

_ADDED = ("lora_", "ia3_", "prefix.")


def tune(model: nn.Module, layers: nn.ModuleList, facts: BackboneFacts, start: int, config: BackboneConfig) -> None:
    """Add to the layers above layer `start` what the tuning adds, and mark what it trains."""
    if config.tuning != "full":
        model.requires_grad_(False)
    TUNINGS[config.tuning](model, layers, facts, start, config)


def is_added(name: str) -> bool:
    """Whether a parameter was added by the tuning, by its name."""
    return any(part in name for part in _ADDED)


def copy_pretrained(upper: nn.Module) -> dict[str, Tensor]:
    """What a pull towards the pretrained weights holds on to: name -> value as it is now, before any training.

    Of LoRA's two factors the one that starts at zero, of AdaLoRA's three the singular values: there the change is none.
    """
    trained = {name: value for name, value in upper.named_parameters() if value.requires_grad}
    if any("lora_E" in name for name in trained):
        trained = {name: value for name, value in trained.items() if "lora_E" in name}
    return {name: value.detach().clone() for name, value in trained.items() if "lora_A" not in name}


def find_linear_names(layer: nn.Module) -> list[str]:
    """Names of the linear layers inside one transformer layer."""
    return [name for name, module in layer.named_modules() if _is_linear(module)]


def _add_lora(
    model: nn.Module, layers: nn.ModuleList, facts: BackboneFacts, start: int, config: BackboneConfig
) -> None:
    from peft import AdaLoraConfig, LoraConfig, inject_adapter_in_model

    names = [[name for name in find_linear_names(layer) if is_target(name, config.targets)] for layer in layers]
    targets = _name_whole(model, layers, start, names)
    if not targets:
        known = sorted({name.rpartition(".")[2] for name in find_linear_names(layers[start])})
        given = ", ".join(config.targets)
        raise ConfigError("lora_targets", path="backbone.targets", given=given, known=", ".join(known))
    common: dict[str, Any] = {
        "lora_alpha": config.alpha,
        "lora_dropout": config.dropout,
        "target_modules": targets,
        "fan_in_fan_out": _is_transposed(layers),
    }
    adapter: LoraConfig
    if config.tuning == "adalora":
        # Its schedule is set when the number of steps is known: see `modeling.ranks`.
        adapter = AdaLoraConfig(init_r=config.rank, target_r=get_final_rank(config), total_step=1, **common)
    else:
        kinds: dict[str, Any] = {"use_rslora": config.tuning == "rslora", "use_dora": config.tuning == "dora"}
        adapter = LoraConfig(r=config.rank, **common, **kinds)
    inject_adapter_in_model(adapter, model, adapter_name=ADAPTER)


def compute_scale(config: BackboneConfig) -> float:
    """What LoRA's product of two factors is multiplied by, up to what only its rank decides."""
    return config.alpha / config.rank ** (0.5 if config.tuning == "rslora" else 1.0)


def get_final_rank(config: BackboneConfig) -> int:
    """The mean rank that AdaLoRA ends with."""
    return config.final_rank or max(config.rank // 2, 1)


def _add_ia3(model: nn.Module, layers: nn.ModuleList, facts: BackboneFacts, start: int, config: BackboneConfig) -> None:
    from peft import IA3Config, inject_adapter_in_model

    found = [find_ia3_names(find_linear_names(layer)) for layer in layers]
    scaled = _name_whole(model, layers, start, [outputs for outputs, _ in found])
    feeding = _name_whole(model, layers, start, [inputs for _, inputs in found])
    if not scaled or not feeding:
        raise BackboneError("tuning_unsupported", tuning=config.tuning, model_type=facts.model_type)
    adapter = IA3Config(
        target_modules=[*scaled, *feeding], feedforward_modules=feeding, fan_in_fan_out=_is_transposed(layers)
    )
    inject_adapter_in_model(adapter, model, adapter_name=ADAPTER)


def _add_prefix(
    model: nn.Module, layers: nn.ModuleList, facts: BackboneFacts, start: int, config: BackboneConfig
) -> None:
    add_prefixes(model, list(layers)[start:], facts, config.prefix_length)


def _train_norms(
    model: nn.Module, layers: nn.ModuleList, facts: BackboneFacts, start: int, config: BackboneConfig
) -> None:
    for layer in list(layers)[start:]:
        for module in layer.modules():
            weight = getattr(module, "weight", None)
            if isinstance(weight, nn.Parameter) and weight.ndim == 1:
                module.requires_grad_(True)


def _train_all(
    model: nn.Module, layers: nn.ModuleList, facts: BackboneFacts, start: int, config: BackboneConfig
) -> None:
    pass  # what lies below layer `start` is frozen by whoever cuts it off


Tune = Callable[[nn.Module, nn.ModuleList, BackboneFacts, int, BackboneConfig], None]
TUNINGS: dict[str, Tune] = {
    **dict.fromkeys(("lora", "rslora", "dora", "adalora"), _add_lora),
    "ia3": _add_ia3,
    "prefix": _add_prefix,
    "norm": _train_norms,
    "full": _train_all,
}


def _name_whole(model: nn.Module, layers: nn.ModuleList, start: int, names: Sequence[Sequence[str]]) -> list[str]:
    """Names inside the layers above layer `start` as names inside the model."""
    prefix = next(name for name, module in model.named_modules() if module is layers)
    return [f"{prefix}.{index}.{name}" for index in range(start, len(layers)) for name in names[index]]


def _is_linear(module: nn.Module) -> bool:
    return isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D"


def _is_transposed(layers: nn.ModuleList) -> bool:
    """Whether the linear layers keep their weights as (in, out)."""
    return any(type(module).__name__ == "Conv1D" for module in layers.modules())
