"""Which backbones look back only: by the names of their families, and as real models do."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from chain_core.modeling.backbones.backbone import load_backbone
from chain_core.modeling.backbones.catalogue import read_facts
from chain_core.modeling.backbones.direction import BOTH_WAYS, is_causal, list_causal_types
from tests.tiny import FAMILIES

DECODERS = [
    "apertus", "biogpt", "bloom", "codegen", "cohere", "cohere2", "ctrl", "deepseek_v3", "falcon", "gemma",
    "gemma2", "gemma3_text", "gemma4_text", "glm4", "gpt2", "gpt_bigcode", "gpt_neo", "gpt_neox", "gpt_oss",
    "gptj", "granite", "granitemoe", "internlm3", "lfm2", "llama", "llama4_text", "mamba", "ministral", "mistral",
    "mixtral", "modernbert-decoder", "mpt", "nemotron", "olmo", "olmo2", "olmo3", "openai-gpt", "opt",
    "persimmon", "phi", "phi3", "qwen2", "qwen2_moe", "qwen3", "qwen3_moe", "qwen3_next", "rwkv", "seed_oss",
    "smollm3", "stablelm", "starcoder2", "xglm",
]  # fmt: skip
ENCODERS = [
    "albert", "bart", "bert", "bert-generation", "big_bird", "camembert", "convbert", "cpmant", "deberta",
    "deberta-v2", "distilbert", "electra", "ernie", "esm", "funnel", "longformer", "m2m_100", "marian", "mbart",
    "modernbert", "mpnet", "mt5", "nomic_bert", "nystromformer", "pegasus", "rembert", "roberta", "roformer",
    "t5", "vit", "wav2vec2", "xlm", "xlm-roberta", "xlnet",
]  # fmt: skip


def test_families_by_name():
    assert [name for name in DECODERS if not is_causal({"model_type": name})] == []
    assert [name for name in ENCODERS if is_causal({"model_type": name})] == []


def test_every_exception_is_one():
    assert not BOTH_WAYS & list_causal_types()
    assert len(list_causal_types()) > 100


@pytest.mark.parametrize(
    ("said", "causal"),
    [
        ({"model_type": "bert", "is_decoder": True}, True),
        ({"model_type": "bert-generation", "is_decoder": True}, True),
        ({"model_type": "gemma3_text", "use_bidirectional_attention": True}, False),
        ({"model_type": "gemma4_text", "use_bidirectional_attention": "vision"}, True),
        ({"model_type": "llama", "is_causal": False}, False),
        ({"model_type": "whisper", "is_encoder_decoder": True}, False),
        ({}, False),
    ],
    ids=str,
)
def test_a_config_has_the_last_word(said, causal):
    assert is_causal(said) == causal


def save_tiny(folder, family):
    """A random model of the family, and what its config calls itself."""
    from transformers import AutoConfig, AutoModel

    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
    gpt = {"n_embd": 16, "n_layer": 2, "n_head": 2}
    more = {
        "bert decoder": {**sizes, "is_decoder": True},
        "gpt_bigcode": gpt,
        "gemma3_text both ways": {**sizes, "use_bidirectional_attention": True, "head_dim": 8,
                                  "num_key_value_heads": 2},
        "qwen3_moe": {**sizes, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 8,
                      "num_key_value_heads": 2},
        "xglm": {"d_model": 16, "num_layers": 2, "attention_heads": 2, "ffn_dim": 16},
        "xlnet": {"d_model": 16, "n_layer": 2, "n_head": 2, "d_inner": 16},
    }  # fmt: skip
    torch.manual_seed(0)
    config = AutoConfig.for_model(family.split()[0], vocab_size=32, pad_token_id=0, **more[family])
    AutoModel.from_config(config).save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    "family", ["bert decoder", "gpt_bigcode", "gemma3_text both ways", "qwen3_moe", "xglm", "xlnet"]
)
def test_real_models_do_as_is_said_of_them(tmp_path, family):
    assert looks_back_only(save_tiny(tmp_path, family)) == (family not in ("gemma3_text both ways", "xlnet"))


@pytest.mark.parametrize("family", FAMILIES)
def test_tiny_families_do_too(backbones, family):
    looks_back_only(backbones[family])


def looks_back_only(folder):
    """What a later token does to earlier states, which must be what the facts say."""
    facts = read_facts(str(folder))
    ids = torch.tensor([[5, 6, 7, 8, 9, 10], [5, 6, 7, 8, 11, 12]])
    with torch.no_grad():
        states = load_backbone(facts).eval()(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
    causal = torch.allclose(states[0, :4], states[1, :4], atol=1e-5)
    assert facts.causal == causal
    return causal


def test_the_screens_need_no_torch_for_it():
    code = (
        "import sys\nfrom chain_core.modeling.backbones.direction import list_causal_types as f\nprint(len(f()) > 9, "
    )
    code += "any(name in sys.modules for name in ('torch', 'transformers')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["True", "False"], done.stderr
