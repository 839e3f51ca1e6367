"""Texts translated by sequence-to-sequence models, so that there and back they say the same in other words.

Back-translation as in Sennrich et al. 2016 (arXiv 1511.06709). How a model decodes, greedily or with beams, is what its
folder's generation config says; nothing is drawn at random.

translations/<key>/   texts.jsonl   a line a text, the longest first; whatever ended the writing, the next call goes on
                                    after the last whole batch
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

import torch

from chain_core.errors import BackboneError
from chain_core.modeling.backbones.catalogue import compute_tokenizer_key, compute_weights_key
from chain_core.modeling.backbones.translators import KEY, Route, check_translator
from chain_core.paths import get_folder
from chain_core.storage.disk import explain_full_disk
from chain_core.storage.entries import touch_entry
from chain_core.storage.leases import take_lease
from chain_core.storage.locks import hold_folder

VERSION = 2
"""Of how a text is translated: a change translates again. 2: without the code of the language that is written."""
ROWS = 32
LONGEST = 512
"""Tokens, of the text and of its translation."""
FILE = "texts.jsonl"
Progress = Callable[[int, int], None]


def translate_back(
    texts: Sequence[str],
    routes: Sequence[Route],
    device: torch.device,
    progress: Progress = lambda done, total: None,
    meta: Mapping[str, Any] | None = None,
) -> list[str]:
    """Each text after both models, there and back; "" where a model had nothing to say. Raises BackboneError for an
    unfit folder.

    `progress(translated, to translate)` is called before every batch and may raise. `meta`: see `translate`.
    """
    for route in routes:
        check_translator(route)  # not only once all texts are there
    there = translate(texts, routes[0], device, lambda done, total: progress(done, 2 * total), meta)
    return translate(there, routes[1], device, lambda done, total: progress(total + done, 2 * total), meta)


def translate(
    texts: Sequence[str],
    route: Route,
    device: torch.device,
    progress: Progress = lambda done, total: None,
    meta: Mapping[str, Any] | None = None,
) -> list[str]:
    """Each text after one model, in order, computed only where no run did so before.

    `meta` is kept for people to read. Raises ResourceError on a full disk.
    """
    check_translator(route)
    order = [number for number, text in enumerate(texts) if text.strip()]
    order.sort(key=lambda number: -len(texts[number]))
    read = [texts[number] for number in order]
    place = get_folder("translations") / _compute_key(read, route, device)
    lease = take_lease(place)
    try:
        with explain_full_disk(place), hold_folder(place, math.inf, lambda: progress(0, len(read))):
            touch_entry(place, {**(meta or {}), "backbone": str(route.folder), "rows": len(read)})
            done = _translate_on(read, place / FILE, route, device, progress)
    finally:
        lease.release()
    found = dict(zip(order, done, strict=True))
    return [found.get(number, "") for number in range(len(texts))]


def _compute_key(texts: Sequence[str], route: Route, device: torch.device) -> str:
    """The name of an entry: a hash of all that its content depends on."""
    folder = route.folder
    settings = folder / "generation_config.json"
    said = settings.read_text(encoding="utf-8") if settings.is_file() else ""
    parts = (VERSION, ROWS, LONGEST, device.type, compute_weights_key(folder), compute_tokenizer_key(folder), said)
    told = [part for part in (route.source, route.target, route.prefix) if part]
    digest = hashlib.sha256("\n".join(map(str, (*parts, *told))).encode())
    for text in texts:
        digest.update(json.dumps(text).encode() + b"\n")
    return digest.hexdigest()[:24]


def _translate_on(texts: Sequence[str], file: Path, route: Route, device: torch.device, progress: Progress) -> list:
    """The texts' translations, those that are missing appended to the file."""
    done = _read_whole_batches(file, len(texts))
    if len(done) < len(texts):
        file.write_text("".join(map(_write, done)), encoding="utf-8")  # without what was torn
        with file.open("a", encoding="utf-8") as kept:
            progress(len(done), len(texts))
            for part in _translate_batches(texts[len(done) :], route, device):
                kept.write("".join(map(_write, part)))
                kept.flush()
                done += part
                progress(len(done), len(texts))
    return done


def _write(text: str) -> str:
    return json.dumps(text) + "\n"


def _read(line: bytes) -> str | None:
    """None where the line is torn."""
    try:
        return str(json.loads(line))
    except ValueError:
        return None


def _read_whole_batches(file: Path, most: int) -> list[str]:
    """What stands in the file up to the last whole batch: so the same texts are always translated side by side."""
    lines = file.read_bytes().splitlines() if file.is_file() else []
    found = [text for text in takewhile(lambda text: text is not None, map(_read, lines)) if text is not None]
    return found[:most] if len(found) >= most else found[: len(found) - len(found) % ROWS]


@torch.inference_mode()
def _translate_batches(texts: Sequence[str], route: Route, device: torch.device) -> Iterator[list[str]]:
    tokenizer, model = _load(route.folder)
    model.to(device).eval()
    first = _tell_languages(tokenizer, route)
    code = first.get("forced_bos_token_id", model.generation_config.forced_bos_token_id)
    for start in range(0, len(texts), ROWS):
        asked = [route.prefix + text for text in texts[start : start + ROWS]]
        inputs = tokenizer(asked, return_tensors="pt", padding=True, truncation=True,
                           max_length=LONGEST).to(device)  # fmt: skip
        length = min(LONGEST, 2 * inputs["input_ids"].shape[1] + 16)
        read = {name: value for name, value in inputs.items() if name in ("input_ids", "attention_mask")}
        outputs = model.generate(**read, **first, do_sample=False, max_new_tokens=length)
        if code is not None:  # some tokenizers take a language's code for a word
            outputs = outputs.masked_fill(outputs == code, tokenizer.pad_token_id)
        yield [" ".join(text.split()) for text in tokenizer.batch_decode(outputs, skip_special_tokens=True)]


def _tell_languages(tokenizer: Any, route: Route) -> dict[str, int]:
    """Set the tokenizer to the language that it reads; what `generate` must be told of the one that it writes.

    Raises BackboneError for a code that the model does not have.
    """
    if route.source:
        _find_language(tokenizer, route.source, route)
        tokenizer.src_lang = route.source
    return {"forced_bos_token_id": _find_language(tokenizer, route.target, route)} if route.target else {}


def _find_language(tokenizer: Any, code: str, route: Route) -> int:
    """The number of a language's token."""
    find = getattr(tokenizer, "get_lang_id", tokenizer.convert_tokens_to_ids)  # M2M-100 writes its codes otherwise
    try:
        number = find(code)
    except KeyError:
        number = None
    if number is None or number == tokenizer.unk_token_id:
        raise BackboneError("translation_language", path="augment.languages", folder=str(route.folder), given=code)
    return int(number)


def _load(folder: Path):
    from safetensors import SafetensorError
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    local = {"local_files_only": True, "trust_remote_code": False}
    try:
        model = AutoModelForSeq2SeqLM.from_pretrained(str(folder), use_safetensors=True, dtype=torch.float32, **local)
        return AutoTokenizer.from_pretrained(str(folder), **local), model
    except (OSError, ValueError, RuntimeError, KeyError, ImportError, SafetensorError) as error:
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise BackboneError("translation_unreadable", path=KEY, folder=str(folder), reason=reason) from None
