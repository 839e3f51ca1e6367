"""Encoded rows on disk: tokenised once, chunk by chunk, then memory-mapped by every run that reads the same texts.

encoded/<key>/   input_ids.bin token_type_ids.bin offsets.bin …   bare numbers; `encoded.json` says their types and
lengths and is written last, so that where it stands everything is whole.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from chain_core.data.cells import hash_cells
from chain_core.data.encode import COUNTED, FLAT, Encoded, encode_chunks, hash_inputs
from chain_core.data.text import Texts
from chain_core.paths import get_folder
from chain_core.storage.disk import explain_full_disk
from chain_core.storage.drafts import Draft, open_draft
from chain_core.storage.entries import make_room, touch_entry
from chain_core.storage.leases import read_leased

VERSION = 2
"""Of what is made of a text: a change tokenises again."""
INDEX = "encoded.json"


def load_encoded(
    texts: Texts,
    tokenizer_key: str,
    load_tokenizer: Callable[[], Any],
    max_length: int,
    *,
    lexical: bool = False,
    places: bool = False,
    meta: Mapping[str, Any],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Encoded:
    """As `encode_texts`, but memory-mapped, and tokenised only where no run did so before.

    `progress(rows done, rows)` may raise to stop. `meta` is kept for people to read. Raises ResourceError on a full
    disk.
    """
    folder = get_folder("encoded") / compute_key(texts, tokenizer_key, max_length, lexical, places)

    def read() -> Encoded:
        touch_entry(folder, {**meta, "rows": len(texts)})
        if not (folder / INDEX).is_file():
            _write(folder, texts, load_tokenizer(), max_length, lexical, places, progress)
        return _read(folder)

    return read_leased(folder, read, lambda encoded: [encoded.input_ids, encoded.offsets])


def compute_key(texts: Texts, tokenizer_key: str, max_length: int, lexical: bool, places: bool) -> str:
    """The name of an entry: a hash of all that its content depends on."""
    columns = [texts.first] if texts.second is None else [texts.first, texts.second]
    parts = (VERSION, texts.kind, hash_cells(columns), tokenizer_key, max_length, lexical, places)
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()[:24]


def _write(folder: Path, texts: Texts, tokenizer: Any, max_length: int, lexical: bool, places: bool, progress) -> None:
    make_room(_estimate_bytes(texts))
    with explain_full_disk(folder), open_draft(folder) as draft:
        index = _write_fields(draft, texts, tokenizer, max_length, lexical, places, progress)
        read = ("input_ids", "token_type_ids", "offsets")
        key = hash_inputs(*(_map(draft.path(f"{name}.bin"), *index[name]) for name in read))
        draft.path(INDEX).write_text(json.dumps({**index, "key": key}), encoding="utf-8")
        draft.publish()


def _write_fields(
    draft: Draft, texts: Texts, tokenizer: Any, max_length: int, lexical: bool, places: bool, progress
) -> dict:
    """Every field's file; field -> [dtype, length or shape], and `truncated`."""
    lengths = dict.fromkeys((*FLAT, *COUNTED), 0)
    ends = dict.fromkeys(COUNTED, 0)
    done = 0
    with ExitStack() as stack:
        files: dict[str, BinaryIO] = {
            name: stack.enter_context(draft.path(f"{name}.bin").open("wb")) for name in lengths
        }
        for name in COUNTED:
            lengths[name] = files[name].write(np.zeros(1, np.int64).tobytes()) // 8

        def keep(name: str, part: np.ndarray) -> None:
            nonlocal done
            if name in ends:
                sums = ends[name] + np.cumsum(part, dtype=np.int64)
                ends[name] = int(sums[-1]) if len(sums) else ends[name]
                part = sums
            files[name].write(np.ascontiguousarray(part, FLAT.get(name, np.int64)).data)
            lengths[name] += len(part)
            if name == "offsets":
                done += len(part)
                progress(done, len(texts))

        table, truncated = encode_chunks(texts, tokenizer, max_length, keep, lexical=lexical, places=places)
    draft.path("lexical_table.bin").write_bytes(np.ascontiguousarray(table).data)
    index: dict[str, Any] = {
        name: [np.dtype(FLAT.get(name, np.int64)).name, [length]] for name, length in lengths.items()
    }
    return {**index, "lexical_table": [table.dtype.name, list(table.shape)], "truncated": truncated}


def _read(folder: Path) -> Encoded:
    index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    scalars = {name: index.pop(name) for name in ("truncated", "key")}
    arrays: dict[str, Any] = {name: _map(folder / f"{name}.bin", *what) for name, what in index.items()}
    return Encoded(**arrays, **scalars)


def _map(path: Path, dtype: str, shape: list[int]) -> np.ndarray:
    """A file's numbers, memory-mapped, as a plain array: its slices cost less."""
    if not np.prod(shape):
        return np.empty(shape, dtype)
    return np.asarray(np.memmap(path, dtype, "r", shape=tuple(shape)))


def _estimate_bytes(texts: Texts) -> int:
    """About what the files will take."""
    size = texts.first.nbytes + (texts.second.nbytes if texts.second is not None else 0)
    return 3 * size + 32 * len(texts)
