"""Folders of sequence-to-sequence models, looked at without loading them: no torch, the screens ask too."""

from __future__ import annotations

import json
from pathlib import Path

from chain_core.errors import BackboneError
from chain_core.modeling.backbones.shapes import read_header

KEY = "augment.back_translation"


def check_translator(folder: Path) -> None:
    """Raises BackboneError where a folder lacks a readable config, whole weights in safetensors, or a tokenizer."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        config = None
    tokenizer = any(any(folder.glob(pattern)) for pattern in ("tokenizer*.json", "vocab*", "*.model", "*.spm"))
    weights = sorted(folder.glob("*.safetensors"))
    if not isinstance(config, dict) or not tokenizer or not weights:
        raise BackboneError("translation_missing", path=KEY, folder=str(folder))
    for path in weights:
        try:
            read_header(path)
        except BackboneError:
            raise BackboneError("translation_unreadable", path=KEY, folder=str(folder), reason=path.name) from None
