"""A mapping at another depth: what says something of each link follows. Pure, whatever state the mapping is in."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any


def fit_depth(mapping: Mapping[str, Any], depth: int) -> dict[str, Any]:
    """Links and densities repeated or cut to `depth`; taps evenly spaced again; heads and stages moved within it."""
    changed = copy.deepcopy(dict(mapping))
    chain = changed.get("chain")
    if isinstance(chain, dict):
        links = chain.get("links")
        if isinstance(links, list):
            filled = links or [{}]
            chain["links"] = [copy.deepcopy(filled[min(index, len(filled) - 1)]) for index in range(depth)]
        elif isinstance(links, dict) and isinstance(links.get("tie"), int) and links["tie"] >= max(depth, 1):
            links["tie"] = None
        if isinstance(chain.get("taps"), list) and len(chain["taps"]) != depth:
            chain["taps"] = None
        shares = chain.get("densities")
        if isinstance(shares, list) and len(shares) != depth:
            chain["densities"] = (shares + (shares[-1:] or [1.0]) * depth)[:depth]
    heads = changed.get("heads")
    for head in heads.values() if isinstance(heads, dict) else ():
        if isinstance(head, dict) and isinstance(head.get("depths"), list):
            kept = [position for position in head["depths"] if _is_within(position, depth)]
            if "last" in kept:  # the same place under two names is a problem
                kept = [position for position in kept if position != depth]
            if kept != head["depths"]:
                head.pop("depth_weights", None)
            head["depths"] = kept or ["last"]
    stages = changed.get("stages")
    for stage in stages if isinstance(stages, list) else ():
        if isinstance(stage, dict) and isinstance(stage.get("depth"), int) and stage["depth"] > depth:
            stage["depth"] = depth
    return changed


def _is_within(position: Any, depth: int) -> bool:
    return position == "last" or not isinstance(position, int) or position <= depth
