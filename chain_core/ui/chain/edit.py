"""Changes to a draft: from one mapping to the next, whatever state the draft is in. Pure."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import cache
from typing import Any

from chain_core.config import (
    MAX_DEPTH,
    SELF_SUPERVISED,
    HeadConfig,
    LinkConfig,
    SetConfig,
    StageConfig,
    StartConfig,
    fit_depth,
    get_preset,
    merge,
    restore_config,
)
from chain_core.config.checks import OPTIONS_OF_KINDS
from chain_core.config.fields import Section
from chain_core.presets import PRESETS

Draft = Mapping[str, Any]
Path = tuple[str | int, ...]


def complete(draft: Draft) -> dict[str, Any]:
    """The draft over its preset over the defaults: what every widget shows."""
    base = get_preset(draft)
    kept = {key: value for key, value in draft.items() if value is not None}
    whole = merge(_get_defaults(), merge(base, kept))
    for key, section in (("heads", HeadConfig), ("also", SetConfig)):
        if isinstance(whole[key], dict):
            whole[key] = {name: _fill(section, entry) for name, entry in whole[key].items()}
    chain = whole["chain"]
    if isinstance(chain, dict) and isinstance(chain.get("links"), list):
        chain["links"] = [_fill(LinkConfig, link) for link in chain["links"]]
    if isinstance(whole["stages"], list):
        whole["stages"] = [_fill(StageConfig, stage) for stage in whole["stages"]]
    whole["start"] = _fill(StartConfig, whole["start"])
    return whole


def _fill(section: type[Section], given: Any) -> Any:
    """A mapping over its section's defaults; anything else as it is."""
    return merge(_get_part_defaults(section), given) if isinstance(given, Mapping) else given


@cache
def _get_defaults() -> dict[str, Any]:
    """The sections' own, whatever presets say."""
    return restore_config({"data": {"train": "-"}}).model_dump(mode="json")


@cache
def _get_part_defaults(section: type[Section]) -> dict[str, Any]:
    defaults: dict[str, Any] = {}
    for name, field in section.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, Section):
            defaults[name] = _get_part_defaults(inner)
        elif not field.is_required():
            value = field.get_default()
            defaults[name] = list(value) if isinstance(value, tuple) else value
    return defaults


def get_default(whole: Draft, section: type[Section], path: Path) -> Any:
    """What stands at a path where the draft says nothing: the preset's value, or the section's default."""
    given = get_value(get_preset(whole), path, ...)
    return _get_part_defaults(section).get(str(path[-1])) if given is ... else given


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
    for path in {path for values in PRESETS.values() for path in _list_leaves(values)}:
        _drop(changed, path)
    return fit_depth(changed, PRESETS[preset]["chain"]["depth"])


def list_changes(draft: Draft) -> list[Path]:
    """The preset's values that the draft overrides with others."""
    preset, shown = get_preset(draft), complete(draft)
    return [path for path in _list_leaves(preset) if get_value(shown, path) != get_value(preset, path)]


def _list_leaves(mapping: Mapping[str, Any], base: Path = ()) -> list[Path]:
    """The paths of all values that are no mappings."""
    found: list[Path] = []
    for key, value in mapping.items():
        found += _list_leaves(value, (*base, key)) if isinstance(value, Mapping) else [(*base, key)]
    return found


def _drop(mapping: dict[str, Any], path: Path) -> None:
    """Without the value at a path, in place; a list or a word that stands in the way goes as a whole."""
    inner = mapping.get(str(path[0]))
    if len(path) > 1 and isinstance(inner, dict):
        _drop(inner, path[1:])
    else:
        mapping.pop(str(path[0]), None)


def set_depth(draft: Draft, depth: int) -> dict[str, Any]:
    """Another depth; links, taps and heads' depths follow."""
    return fit_depth(set_value(draft, ("chain", "depth"), depth), depth)


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


def set_densities(draft: Draft, course: str) -> dict[str, Any]:
    """One of the courses, or (`each`) a factor for each link, the present course's to begin with."""
    return set_value(draft, ("chain", "densities"), _list_shares(draft) if course == "each" else course)


def _list_shares(draft: Draft) -> list[float]:
    depth, now = read_depth(draft), get_value(complete(draft), ("chain", "densities"))
    growing = [round((index + 1) / depth, 3) for index in range(depth)]
    return {"growing": growing, "shrinking": growing[::-1]}.get(now if isinstance(now, str) else "", [1.0] * depth)


def add_head(draft: Draft, kind: str, column: str = "", data: str | None = None) -> dict[str, Any]:
    """One more head, named after its column, or its kind where it has none."""
    heads = draft.get("heads")
    heads = dict(heads) if isinstance(heads, Mapping) else {}
    head = {"kind": kind}
    if kind not in SELF_SUPERVISED:
        head["column"] = column
    if data is not None:
        head["data"] = data
    return {**draft, "heads": {**heads, find_free_name(head.get("column") or kind, heads): head}}


def change_kind(draft: Draft, name: str, kind: str) -> dict[str, Any]:
    """A head of another kind, without the options that this kind does not have."""
    head = get_value(draft, ("heads", name), {})
    foreign = {option for option, kinds in OPTIONS_OF_KINDS.items() if kind not in kinds}
    foreign |= {"column"} if kind in SELF_SUPERVISED else set()
    kept = {key: value for key, value in head.items() if key not in foreign}
    return set_value(draft, ("heads", name), {**kept, "kind": kind})


def remove_head(draft: Draft, name: str) -> dict[str, Any]:
    """All heads but one; a metric that named it falls back to the mean of all, a stage that named it alone to all."""
    heads = {key: head for key, head in (draft.get("heads") or {}).items() if key != name}
    return _rename_mentions({**draft, "heads": heads}, name, None)


def rename_head(draft: Draft, old: str, new: str) -> dict[str, Any]:
    """A head under another name, in its old place; nothing changes where the name is taken or empty."""
    heads = draft.get("heads") or {}
    if not new or new in heads:
        return dict(draft)
    renamed = {new if key == old else key: head for key, head in heads.items()}
    return _rename_mentions({**draft, "heads": renamed}, old, new)


def _rename_mentions(draft: dict[str, Any], old: str, new: str | None) -> dict[str, Any]:
    """Where other keys name the head."""
    stages = draft.get("stages")
    for index, stage in enumerate(stages if isinstance(stages, list) else ()):
        named = get_value(stage, ("heads",))
        if isinstance(named, list) and old in named:
            kept = [new if name == old else name for name in named if name != old or new is not None]
            draft = set_value(draft, ("stages", index, "heads"), kept or None)
    metric = get_value(draft, ("train", "metric"))
    if not isinstance(metric, str) or metric.partition("/")[0] != old:
        return draft
    return set_value(draft, ("train", "metric"), "mean" if new is None else f"{new}/{metric.partition('/')[2]}")


def find_free_name(column: str, taken: Mapping[str, Any]) -> str:
    """A name for a head or a data set that the config accepts."""
    name = "".join("_" if character.isspace() or character in "/@:|" else character for character in column)
    name = name[:60] or "head"
    candidates = [name, *(f"{name}_{number}" for number in range(2, len(taken) + 3))]
    return next(candidate for candidate in candidates if candidate not in taken and candidate != "joint")
