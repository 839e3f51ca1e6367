"""Folders of sequence-to-sequence models, looked at without loading them: no torch, the screens ask too."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chain_core.config import AugmentConfig
from chain_core.errors import BackboneError
from chain_core.modeling.backbones.shapes import read_header

KEY = "augment.back_translation"
MANY_LANGUAGES = frozenset({"m2m_100", "mbart", "nllb-moe", "plbart", "seamless_m4t", "seamless_m4t_v2"})
"""Model types that are told by codes which languages they read and write."""
TOKENIZERS = ("tokenizer*.json", "vocab*", "*.model", "*.spm")
WEIGHTS = "*.safetensors"


@dataclass(frozen=True)
class Route:
    """A model, and what it is told of each text."""

    folder: Path
    source: str = ""
    """Code of the language that it reads; "": as its folder has it."""
    target: str = ""
    """Of the one that it writes."""
    prefix: str = ""
    """Words before the text."""


def build_routes(settings: AugmentConfig, place: Callable[[str], Path] = Path) -> tuple[Route, ...]:
    """There and back; nowhere where nothing is translated. `place`: a folder's name -> its path."""
    if settings.back_translation is None:
        return ()
    here, other = settings.languages or ("", "")
    ways = zip(((here, other), (other, here)), settings.prefixes or ("", ""), strict=True)
    folders = settings.back_translation
    return tuple(Route(place(folder), *codes, prefix) for folder, (codes, prefix) in zip(folders, ways, strict=True))


def check_translator(route: Route) -> None:
    """Raises BackboneError where a folder lacks a readable config, whole weights in safetensors, or a tokenizer, and
    where the model must be told which languages to translate and neither route nor folder settles that."""
    folder = route.folder
    config = _read(folder / "config.json")
    if config is None or not _holds(folder, *TOKENIZERS) or not _holds(folder, WEIGHTS):
        raise BackboneError("translation_missing", path=KEY, folder=str(folder))
    for path in sorted(folder.glob(WEIGHTS)):
        try:
            read_header(path)
        except BackboneError:
            raise BackboneError("translation_unreadable", path=KEY, folder=str(folder), reason=path.name) from None
    kind = config.get("model_type", "?")
    if not route.prefix and _needs_prefix(config):
        raise BackboneError("translation_prefix", path=KEY, folder=str(folder), model_type=kind)
    if not route.target and not _knows_languages(config, folder):
        raise BackboneError("translation_languages", path=KEY, folder=str(folder), model_type=kind)


def _holds(folder: Path, *patterns: str) -> bool:
    return any(any(folder.glob(pattern)) for pattern in patterns)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def _needs_prefix(config: dict[str, Any]) -> bool:
    """Whether one model does several things, and words before the text say which, as the first T5 models have it."""
    tasks = config.get("task_specific_params")
    return isinstance(tasks, dict) and any(isinstance(task, dict) and task.get("prefix") for task in tasks.values())


def _knows_languages(config: dict[str, Any], folder: Path) -> bool:
    """Whether a model that is told its languages by codes has both; one that is not always does."""
    tokenizer = _read(folder / "tokenizer_config.json") or {}
    if config.get("model_type") not in MANY_LANGUAGES and "src_lang" not in tokenizer:
        return True
    generation = _read(folder / "generation_config.json") or {}
    target = generation.get("forced_bos_token_id", config.get("forced_bos_token_id"))
    return bool(tokenizer.get("src_lang")) and target is not None
