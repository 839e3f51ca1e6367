"""Whether a backbone's positions know only those before them: what its config says, and what transformers lists."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from chain_core.paths import find_package

BOTH_WAYS = frozenset({"bert-generation", "cpmant", "xlnet"})
"""Families that are listed for next tokens alone and still look ahead, unless a config says otherwise."""
_TABLES = ("CAUSAL_LM", "MASKED_LM", "SEQ_TO_SEQ_CAUSAL_LM")


def is_causal(config: Mapping[str, Any]) -> bool:
    """Of a `config.json`. True for a decoder, as it stands or by its family."""
    if config.get("is_decoder"):
        return True
    if config.get("is_encoder_decoder") or config.get("is_causal") is False:
        return False
    if config.get("use_bidirectional_attention") in (True, "all"):
        return False
    return config.get("model_type") in list_causal_types()


@lru_cache(maxsize=1)
def list_causal_types() -> frozenset[str]:
    """The model types that transformers has a model of for next tokens, and none for hidden ones or translation."""
    causal, masked, translating = (_read_tables()[name] for name in _TABLES)
    return frozenset(causal - masked - translating - BOTH_WAYS)


def _read_tables() -> dict[str, set[str]]:
    """Name of a table in transformers' auto classes -> its model types; read, as importing them would import torch."""
    library = find_package("transformers")
    assert library is not None
    file = library / "models" / "auto" / "modeling_auto.py"
    wanted = {f"MODEL_FOR_{name}_MAPPING_NAMES": name for name in _TABLES}
    found = {}
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            name = wanted.get(ast.unparse(node.targets[0]))
            if name is not None:
                found[name] = set(dict(ast.literal_eval(node.value.args[0])))
    return found
