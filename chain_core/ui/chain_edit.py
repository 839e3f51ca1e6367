"""Changes to a draft: from one mapping to the next, whatever state the draft is in. Pure."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import cache
from typing import Any

from chain_core.config import MAX_DEPTH, HeadConfig, LinkConfig, merge, resolve_config
from chain_core.presets import PRESETS

Draft = Mapping[str, Any]
Path = tuple[str | int, ...]


def complete(draft: Draft) -> dict[str, Any]:
    """The draft over its preset over the defaults: what every widget shows."""
    preset = draft.get("preset")
    base = PRESETS.get(preset, {}) if isinstance(preset, str) else {}
    kept = {key: value for key, value in draft.items() if value is not None}
    whole = merge(_get_defaults(), merge(base, kept))
    for name, head in whole["heads"].items() if isinstance(whole["heads"], dict) else ():
        whole["heads"][name] = merge(_get_part_defaults(HeadConfig), head) if isinstance(head, dict) else head
    chain = whole["chain"]
    if isinstance(chain, dict) and isinstance(chain.get("links"), list):
        defaults = _get_part_defaults(LinkConfig)
        chain["links"] = [merge(defaults, link) if isinstance(link, dict) else link for link in chain["links"]]
    return whole


@cache
def _get_defaults() -> dict[str, Any]:
    return resolve_config({"data": {"train": "-"}}).model_dump(mode="json")


@cache
def _get_part_defaults(part: type[HeadConfig] | type[LinkConfig]) -> dict[str, Any]:
    fields = {name: field for name, field in part.model_fields.items() if not field.is_required()}
    defaults = {name: field.get_default() for name, field in fields.items()}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in defaults.items()}


def get_value(mapping: Any, path: Path, default: Any = None) -> Any:
    """The value at a path, or the default where the way there is not made of mappings and lists."""
    for part in path:
        listed = isinstance(mapping, list | tuple) and isinstance(part, int) and part < len(mapping)
        if not listed and not (isinstance(mapping, Mapping) and part in mapping):
            return default
        mapping = mapping[part]
    return mapping


def set_value(draft: Draft, path: Path, value: Any) -> dict[str, Any]:
    """The draft with one value set; what stands in the way is replaced by mappings."""
    return _set_inside(dict(draft), path, value)


def _set_inside(container: Any, path: Path, value: Any) -> Any:
    """A copy of the mapping or list at hand with the value in it."""
    part, rest = path[0], path[1:]
    if isinstance(part, int) and isinstance(container, list) and part < len(container):
        filled = list(container)
        filled[part] = _set_inside(filled[part], rest, value) if rest else value
        return filled
    mapping = dict(container) if isinstance(container, Mapping) else {}
    mapping[part] = _set_inside(mapping.get(part), rest, value) if rest else value
    return mapping


def choose_preset(draft: Draft, preset: str) -> dict[str, Any]:
    """Another preset, without what the draft said about the keys that presets are for."""
    changed = copy.deepcopy(dict(draft))
    changed["preset"] = preset
    for section, keys in _list_preset_keys().items():
        if isinstance(changed.get(section), dict):
            for key in keys:
                changed[section].pop(key, None)
    return fit_depth(changed, PRESETS[preset]["chain"]["depth"])


def list_changes(draft: Draft) -> list[Path]:
    """The preset's values that the draft overrides with others."""
    preset, shown = PRESETS.get(str(draft.get("preset", "fast")), {}), complete(draft)
    paths = ((section, key) for section, values in preset.items() for key in values)
    return [path for path in paths if get_value(shown, path) != get_value(preset, path)]


def _list_preset_keys() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for preset in PRESETS.values():
        for section, values in preset.items():
            found.setdefault(section, set()).update(values)
    return found


def set_depth(draft: Draft, depth: int) -> dict[str, Any]:
    """Another depth; links, taps and heads' depths follow."""
    return fit_depth(set_value(draft, ("chain", "depth"), depth), depth)


def fit_depth(draft: Draft, depth: int) -> dict[str, Any]:
    """Links repeated or cut to `depth`; taps evenly spaced again; heads beyond it moved to the last link."""
    changed = copy.deepcopy(dict(draft))
    chain = changed.get("chain")
    if isinstance(chain, dict):
        links = chain.get("links")
        if isinstance(links, list):
            filled = links or [{}]
            chain["links"] = [copy.deepcopy(filled[min(index, len(filled) - 1)]) for index in range(depth)]
        if isinstance(chain.get("taps"), list) and len(chain["taps"]) != depth:
            chain["taps"] = None
    heads = changed.get("heads")
    for head in heads.values() if isinstance(heads, dict) else ():
        if isinstance(head, dict) and isinstance(head.get("depths"), list):
            kept = [position for position in head["depths"] if _is_within(position, depth)]
            if "last" in kept:  # the same place under two names is a problem
                kept = [position for position in kept if position != depth]
            if kept != head["depths"]:
                head.pop("depth_weights", None)
            head["depths"] = kept or ["last"]
    return changed


def _is_within(position: Any, depth: int) -> bool:
    return position == "last" or not isinstance(position, int) or position <= depth


def set_head_depths(draft: Draft, head: str, positions: list[int]) -> dict[str, Any]:
    """The positions of a head; the chain's last link is written as `last`, so that it follows the depth."""
    depth = read_depth(draft)
    written = ["last" if position == depth else position for position in sorted(positions)]
    changed = set_value(draft, ("heads", head, "depths"), written)
    changed["heads"][head].pop("depth_weights", None)
    return changed


def read_depth(draft: Draft) -> int:
    """The draft's depth, 0 … MAX_DEPTH."""
    depth = get_value(complete(draft), ("chain", "depth"))
    return min(max(depth, 0), MAX_DEPTH) if isinstance(depth, int) and not isinstance(depth, bool) else 0


def read_head_depths(draft: Draft, head: Mapping[str, Any]) -> list[int]:
    """A head's positions as numbers, those that the chain has."""
    depth, given = read_depth(draft), head.get("depths", ["last"])
    found = {depth if position == "last" else position for position in given} if isinstance(given, list) else {depth}
    return sorted(p for p in found if isinstance(p, int) and not isinstance(p, bool) and 0 <= p <= depth)


def spread_links(draft: Draft) -> dict[str, Any]:
    """One mapping for all links -> a mapping for each."""
    link = get_value(complete(draft), ("chain", "links"))
    link = dict(link) if isinstance(link, Mapping) else {}
    return set_value(draft, ("chain", "links"), [dict(link) for _ in range(read_depth(draft))])


def join_links(draft: Draft) -> dict[str, Any]:
    """A mapping for each link -> the first of them for all, evenly spaced taps."""
    links = get_value(draft, ("chain", "links"))
    first = links[0] if isinstance(links, list) and links and isinstance(links[0], dict) else {}
    return set_value(set_value(draft, ("chain", "links"), dict(first)), ("chain", "taps"), None)


def add_head(draft: Draft, kind: str, column: str) -> dict[str, Any]:
    """One more head, named after its column."""
    heads = draft.get("heads")
    heads = dict(heads) if isinstance(heads, Mapping) else {}
    return {**draft, "heads": {**heads, _find_free_name(column, heads): {"kind": kind, "column": column}}}


def remove_head(draft: Draft, name: str) -> dict[str, Any]:
    """All heads but one; a metric that named it falls back to the mean of all."""
    heads = {key: head for key, head in (draft.get("heads") or {}).items() if key != name}
    changed = {**draft, "heads": heads}
    return _rename_metric(changed, name, None)


def rename_head(draft: Draft, old: str, new: str) -> dict[str, Any]:
    """A head under another name, in its old place; nothing changes where the name is taken or empty."""
    heads = draft.get("heads") or {}
    if not new or new in heads:
        return dict(draft)
    renamed = {new if key == old else key: head for key, head in heads.items()}
    return _rename_metric({**draft, "heads": renamed}, old, new)


def _rename_metric(draft: dict[str, Any], old: str, new: str | None) -> dict[str, Any]:
    metric = get_value(draft, ("train", "metric"))
    if not isinstance(metric, str) or metric.partition("/")[0] != old:
        return draft
    return set_value(draft, ("train", "metric"), "mean" if new is None else f"{new}/{metric.partition('/')[2]}")


def _find_free_name(column: str, taken: Mapping[str, Any]) -> str:
    name = "".join("_" if character.isspace() or character in "/@:|" else character for character in column)
    name = name[:60] or "head"
    candidates = [name, *(f"{name}_{number}" for number in range(2, len(taken) + 3))]
    return next(candidate for candidate in candidates if candidate not in taken and candidate != "joint")
