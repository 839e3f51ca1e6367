"""What the caches hold, for people: by backbone and data set, how large, when last used; clearing and the limit."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from chain_core.data.splits import SPLIT_NAMES
from chain_core.data.writer import find_stored
from chain_core.storage.entries import PARTIAL, Entry, list_entries, load_limit, make_room, remove_entry, save_limit

__all__ = ["CachedItem", "clear_items", "list_items", "load_limit", "set_limit", "sum_sizes"]

_KINDS = {("pooled",): "pooled", ("layer", "pooled"): "both"}
_LAYER = re.compile(r"(layer|pooled)-(\d+)\.npy")


@dataclass(frozen=True)
class CachedItem:
    """One cached thing."""

    key: str
    folder: Path
    kind: str
    """states (of positions), pooled (a vector a row), both, rows (as token ids) or translations; partial: states or
    vectors of which a pass that was broken off will go on."""
    backbone: str
    """Its name, or a folder's last part; "" where unknown."""
    data: str
    """The data set's name; "" where unknown."""
    rows: int
    layers: tuple[int, ...]
    """Of the backbone; none for rows."""
    bytes: int
    used: float
    """Seconds since 1970."""
    held: bool
    """Whether a running process has it open, so that it cannot be cleared."""


def list_items() -> list[CachedItem]:
    """All that is cached, the last used first."""
    names: dict[str, str] = {}
    return [_describe(entry, names) for entry in list_entries()]


def clear_items(items: Iterable[CachedItem]) -> list[CachedItem]:
    """Remove these; those that stay because a running process has them open."""
    return [item for item in items if not remove_entry(item.folder)]


def set_limit(limit: int | None) -> None:
    """Set the limit in bytes, None: the default; what is too much goes at once."""
    save_limit(limit)
    make_room()


def sum_sizes(items: Iterable[CachedItem], field: str) -> dict[str, int]:
    """Value of `backbone` or `data` -> bytes, the largest first."""
    sums: dict[str, int] = {}
    for item in items:
        name = getattr(item, field)
        sums[name] = sums.get(name, 0) + item.bytes
    return dict(sorted(sums.items(), key=lambda pair: -pair[1]))


def _describe(entry: Entry, names: dict[str, str]) -> CachedItem:
    found = [match for name in entry.files if (match := _LAYER.fullmatch(name))]
    source = _read_text(entry.meta, "data")
    if source not in names:
        names[source] = name_data(source)
    rows = entry.meta.get("rows")
    return CachedItem(
        key=entry.key,
        folder=entry.folder,
        kind=_name_kind(entry, {match[1] for match in found}),
        backbone=Path(_read_text(entry.meta, "backbone")).name,
        data=names[source],
        rows=rows if isinstance(rows, int) else 0,
        layers=tuple(sorted({int(match[2]) for match in found})),
        bytes=entry.bytes,
        used=entry.used,
        held=entry.held,
    )


def _name_kind(entry: Entry, kinds: Iterable[str]) -> str:
    if entry.kind != "features":
        return {"encoded": "rows"}.get(entry.kind, entry.kind)
    return "partial" if entry.folder.suffix == PARTIAL else _KINDS.get(tuple(sorted(kinds)), "states")


def name_data(source: str) -> str:
    """A source's name: a stored data set's by its id, a file's without its suffix; of `x/train.csv` x, of `x/test.csv`
    x/test."""
    if re.fullmatch(r"[0-9a-f]{16}", source) and (stored := find_stored(source)):
        return stored.name
    path = Path(source)
    folder, name = path.parent.name, path.stem
    if folder and name.lower() in SPLIT_NAMES["train"]:
        return folder
    return f"{folder}/{name}" if folder and name.lower() in SPLIT_NAMES["test"] else name


def _read_text(meta: Mapping[str, object], key: str) -> str:
    value = meta.get(key)
    return value if isinstance(value, str) else ""
