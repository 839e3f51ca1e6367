"""Texts translated there and back by two sequence-to-sequence models, so that they say the same in other words.

Back-translation as in Sennrich et al. 2016 (arXiv 1511.06709). How a model decodes, greedily or with beams, is what its
folder's generation config says; nothing is drawn at random.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from chain_core.errors import BackboneError

ROWS = 32
LONGEST = 512


def translate_back(
    texts: Sequence[str], folders: tuple[Path, Path], device: torch.device, check: Callable[[], None] = lambda: None
) -> list[str]:
    """Each text after both models; "" where a model had nothing to say. Raises BackboneError for an unfit folder.

    `check` is called before every batch and may raise.
    """
    there = translate(texts, folders[0], device, check)
    return translate(there, folders[1], device, check)


@torch.inference_mode()
def translate(
    texts: Sequence[str], folder: Path, device: torch.device, check: Callable[[], None] = lambda: None
) -> list[str]:
    """Each text after one model, in order."""
    tokenizer, model = _load(folder)
    model.to(device).eval()
    translated = [""] * len(texts)
    order = sorted(
        (number for number, text in enumerate(texts) if text.strip()), key=lambda number: -len(texts[number])
    )
    for start in range(0, len(order), ROWS):
        check()
        part = order[start : start + ROWS]
        inputs = tokenizer([texts[number] for number in part], return_tensors="pt", padding=True, truncation=True,
                           max_length=LONGEST).to(device)  # fmt: skip
        length = min(LONGEST, 2 * inputs["input_ids"].shape[1] + 16)
        read = {name: value for name, value in inputs.items() if name in ("input_ids", "attention_mask")}
        outputs = model.generate(**read, do_sample=False, max_new_tokens=length)
        for number, text in zip(part, tokenizer.batch_decode(outputs, skip_special_tokens=True), strict=True):
            translated[number] = " ".join(text.split())
    return translated


def _load(folder: Path):
    from safetensors import SafetensorError
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    if not (folder / "config.json").is_file():
        raise BackboneError("translation_missing", path="augment.back_translation", folder=str(folder))
    local = {"local_files_only": True, "trust_remote_code": False}
    try:
        model = AutoModelForSeq2SeqLM.from_pretrained(str(folder), use_safetensors=True, dtype=torch.float32, **local)
        return AutoTokenizer.from_pretrained(str(folder), **local), model
    except (OSError, ValueError, RuntimeError, KeyError, ImportError, SafetensorError) as error:
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise BackboneError(
            "translation_unreadable", path="augment.back_translation", folder=str(folder), reason=reason
        ) from None
