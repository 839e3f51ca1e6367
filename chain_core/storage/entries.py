"""The caches' entries: folders named by their content, evicted least recently used first when there are too many.

features/<key>/       what a frozen backbone gives for rows    layer-6.npy pooled-6.npy …
encoded/<key>/        rows as token ids                        input_ids.bin … encoded.json
translations/<key>/   texts as a model translates them         texts.jsonl

What is still being computed is an entry too, `<key>-….partial`, that only its own writers read: see `partial`.

Each has a `meta.json` that says what it is of, whose time is that of the last use, and a lease for each process that
has it open. Whoever uses an entry takes the lease first and reads then; whoever evicts one renames it first and looks
for leases then: so neither needs a lock, and what is in use stays.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from chain_core.paths import get_folder, get_home
from chain_core.storage.drafts import sweep_drafts, write_whole
from chain_core.storage.leases import SUFFIX, is_leased

KINDS = ("features", "encoded", "translations")
"""Folders of the workspace that are caches: nothing is lost but time where they are cleared."""
META = "meta.json"
PARTIAL = ".partial"
"""How the name of a folder ends whose files are not whole yet, …"""
MARK = "done.json"
"""… and what says in it how much of them is."""
LIMIT = "cache.json"
LARGEST_DEFAULT = 20_000_000_000
_GONE = ".gone-"


@dataclass(frozen=True)
class Entry:
    """One cached thing."""

    kind: str
    """One of KINDS."""
    folder: Path
    meta: Mapping[str, Any]
    """What `touch_entry` was told: backbone, data, rows, …; empty where nobody said."""
    files: tuple[str, ...]
    bytes: int
    used: float
    """When it was last used, in seconds since 1970."""
    held: bool
    """Whether a living process has it open."""

    @property
    def key(self) -> str:
        return self.folder.name


def touch_entry(folder: Path, meta: Mapping[str, Any]) -> None:
    """Mark an entry as just used; where it is new, keep what `meta` says of it. Its lease comes first."""
    try:
        os.utime(folder / META)
    except FileNotFoundError:
        write_whole(folder / META, json.dumps(dict(meta), ensure_ascii=False))


def list_entries() -> list[Entry]:
    """All entries of all kinds, the last used first."""
    found = [
        entry
        for kind in KINDS
        for folder in get_folder(kind).iterdir()
        if folder.is_dir() and not folder.name.startswith(".") and (entry := _read_entry(kind, folder))
    ]
    return sorted(found, key=lambda entry: -entry.used)


def remove_entry(folder: Path) -> bool:
    """Remove an entry; False where a process holds it."""
    if is_leased(folder):
        return False
    gone = folder.with_name(f"{_GONE}{uuid4().hex[:12]}")
    try:
        folder.rename(gone)
    except OSError:  # another process was faster, or has a file open on a system that minds
        return not folder.exists()
    if is_leased(gone):  # taken between the look and the rename
        with contextlib.suppress(OSError):
            gone.rename(folder)
            return False
    shutil.rmtree(gone, ignore_errors=True)
    return True


def make_room(needed: int = 0) -> int:
    """Evict until `needed` bytes more are within the limit and on the disk, as far as can be; bytes evicted.

    Sweeps up what crashes left, too.
    """
    sweep()
    entries = list_entries()
    total, free = sum(entry.bytes for entry in entries), shutil.disk_usage(get_home()).free
    excess = max(total + needed - load_limit(entries), needed - int(free * 0.95))
    evicted = 0
    for entry in reversed(entries):
        if evicted >= excess:
            break
        if not entry.held and remove_entry(entry.folder):
            evicted += entry.bytes
    return evicted


def sweep() -> None:
    """Remove half-removed entries, and half-written files that no living process is writing."""
    for kind in KINDS:
        for folder in get_folder(kind).iterdir():
            if folder.name.startswith(_GONE):
                if not is_leased(folder):
                    shutil.rmtree(folder, ignore_errors=True)
            elif folder.is_dir() and not is_leased(folder):
                sweep_drafts(folder)
                names = {path.name for path in folder.iterdir()}
                if names <= {META} or (folder.suffix == PARTIAL and MARK not in names):
                    shutil.rmtree(folder, ignore_errors=True)


def load_limit(entries: list[Entry] | None = None) -> int:
    """The caches' limit in bytes: as set, or 20 GB and at most half of what the disk could give them."""
    try:
        return int(json.loads((get_home() / LIMIT).read_text(encoding="utf-8"))["limit"])
    except (OSError, ValueError, KeyError, TypeError):
        taken = sum(entry.bytes for entry in (list_entries() if entries is None else entries))
        return min(LARGEST_DEFAULT, (shutil.disk_usage(get_home()).free + taken) // 2)


def save_limit(limit: int | None) -> None:
    """Set the limit in bytes; None: the default again."""
    if limit is None:
        (get_home() / LIMIT).unlink(missing_ok=True)
    else:
        write_whole(get_home() / LIMIT, json.dumps({"limit": int(limit)}))


def _read_entry(kind: str, folder: Path) -> Entry | None:
    """None where there is nothing in it, or it went away."""
    try:
        files = {path.name: path.stat() for path in folder.iterdir() if path.suffix != SUFFIX}
        used = (files.get(META) or folder.stat()).st_mtime
    except OSError:
        return None
    content = tuple(sorted(name for name in files if name != META and not name.startswith(".")))
    size = sum(stat.st_blocks * 512 if hasattr(stat, "st_blocks") else stat.st_size for stat in files.values())
    held = is_leased(folder)
    if not content and not held:
        return None
    return Entry(kind, folder, _read_meta(folder / META), content, size, min(used, time.time()), held)


def _read_meta(path: Path) -> dict[str, Any]:
    try:
        meta = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return meta if isinstance(meta, dict) else {}
