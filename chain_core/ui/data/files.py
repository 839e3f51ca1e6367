"""Files on their way in: uploads copied to disk at once, read again when told how, remembered until another comes."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import uuid4

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from chain_core.data.splits import name_split
from chain_core.data.store import DataSet, import_files
from chain_core.errors import ChainError, DataError
from chain_core.paths import MOST_NAME_BYTES, get_folder
from chain_core.storage.disk import explain_full_disk
from chain_core.ui.backend import get_store

_KEY = "data_files"
_KEEP = 24 * 3600  # seconds that an upload's copy stays, so that it can be read with another encoding


@dataclass(frozen=True)
class Files:
    """What was chosen last, and what came of it: a data set's id, or an error."""

    paths: Mapping[str, Path]
    name: str
    encoding: str | None = None
    delimiter: str | None = None
    data_id: str | None = None
    error: ChainError | None = None


def get_files() -> Files | None:
    """The files that this session chose last."""
    return st.session_state.get(_KEY)


def forget_files() -> None:
    st.session_state.pop(_KEY, None)


def take_uploads(uploads: Sequence[UploadedFile]) -> DataSet | None:
    """Copy uploads to disk and store them as a data set; None where that fails, and `get_files` says why."""
    try:
        splits = assign_splits([upload.name for upload in uploads])
        folder = _make_folder()
        paths = {}
        with explain_full_disk(folder):
            for split, upload in zip(splits, uploads, strict=True):
                paths[split] = folder / split / clean_name(upload.name)
                paths[split].parent.mkdir()
                with paths[split].open("wb") as file:
                    shutil.copyfileobj(upload, file, 1 << 20)
    except ChainError as error:
        return refuse(error)
    train = uploads[splits.index("train")].name
    return read_files(Files(paths, Path(train).stem))


def refuse(error: ChainError) -> DataSet | None:
    """Remember why nothing was read; None, for nothing was."""
    st.session_state[_KEY] = Files({}, "", error=error)
    return None


def read_files(files: Files) -> DataSet | None:
    """Store files as a data set and enter it in the store; None where that fails, and `get_files` says why."""
    try:
        data_set = import_files(files.paths, name=files.name, encoding=files.encoding, delimiter=files.delimiter)
        get_store().add_data_set(data_set)
    except ChainError as error:
        st.session_state[_KEY] = replace(files, data_id=None, error=error)
        return None
    st.session_state[_KEY] = replace(files, data_id=data_set.id, error=None)
    return data_set


def assign_splits(names: Sequence[str]) -> list[str]:
    """Which split each file is, by its name; one file alone, and one that names none, trains."""
    if len(names) == 1:
        return ["train"]
    found = [_name_by_parts(name) for name in names]
    if "train" not in found and found.count(None) == 1:
        found = [split or "train" for split in found]
    splits = [split for split in found if split]
    if sorted(splits) != sorted(set(splits)) or len(splits) != len(names) or "train" not in splits:
        raise DataError("upload_unclear", files=", ".join(names))
    return splits


def clean_name(name: str) -> str:
    """A file name that is one on every system, its suffix kept."""
    plain = re.sub(r"[^\w.\-]+", "_", Path(name.replace("\\", "/")).name).lstrip(".") or "file"
    return plain.encode()[-MOST_NAME_BYTES:].decode(errors="ignore")


def _name_by_parts(name: str) -> str | None:
    parts = re.split(r"[\s_.\-]+", Path(name).stem)
    found = {split for part in parts if (split := name_split(part))}
    return found.pop() if len(found) == 1 else None


def _make_folder() -> Path:
    """A new folder for one upload; those of yesterday go."""
    root = get_folder("uploads")
    for old in root.iterdir():
        if time.time() - old.stat().st_mtime > _KEEP:
            shutil.rmtree(old, ignore_errors=True)
    folder = root / uuid4().hex
    folder.mkdir()
    return folder
