"""What the families of transformers call the parts of a layer that links can begin from. No torch: checks read it."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass


@dataclass(frozen=True)
class Names:
    """Where one family's layers keep what they multiply by."""

    query: str
    key: str
    value: str
    output: str
    up: str
    down: str
    norm: str
    """In front of the feed-forward part."""
    norm_first: str | None = None
    """In front of the attention; None where the norms stand behind."""

    def list_modules(self) -> list[str]:
        return [name for name in vars(self).values() if name]


FAMILIES = (
    Names(  # BERT, RoBERTa
        *("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"),
        *("intermediate.dense", "output.dense", "attention.output.LayerNorm"),
    ),
    Names(  # DistilBERT
        *("attention.q_lin", "attention.k_lin", "attention.v_lin", "attention.out_lin"),
        *("ffn.lin1", "ffn.lin2", "sa_layer_norm"),
    ),
    Names(  # ViT
        *("attention.q_proj", "attention.k_proj", "attention.v_proj", "attention.o_proj"),
        *("mlp.fc1", "mlp.fc2", "layernorm_after", "layernorm_before"),
    ),
    Names(  # ViT, as its files call them
        *("attention.attention.query", "attention.attention.key", "attention.attention.value"),
        *("attention.output.dense", "intermediate.dense", "output.dense", "layernorm_after", "layernorm_before"),
    ),
    Names(  # GPT-2: one product for all three
        *("attn.c_attn", "attn.c_attn", "attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj", "ln_2", "ln_1"),
    ),
    Names(  # Llama
        *("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj"),
        *("mlp.gate_proj", "mlp.down_proj", "post_attention_layernorm", "input_layernorm"),
    ),
)


def find_names(modules: Container[str]) -> Names | None:
    """The names of the family whose layers hold these modules; None where it is not known."""
    return next((names for names in FAMILIES if all(name in modules for name in names.list_modules())), None)
