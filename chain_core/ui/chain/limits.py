"""What each key of the config may hold, read from the config itself. Pure.

So no widget can offer what the config refuses.
"""

from __future__ import annotations

import types
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from chain_core.config.fields import Section

LARGEST = 1_000_000
"""The upper end of a key that has none."""


@dataclass(frozen=True)
class Limits:
    """What a key may hold."""

    kind: str
    """choice, switch, whole, real or line."""
    low: float = 0
    high: float = LARGEST
    above: bool = False
    """Whether `low` itself is out of range."""
    below: bool = False
    """Whether `high` itself is."""
    options: tuple[str, ...] = ()
    nullable: bool = False
    length: int = 200
    """Of a line, in characters."""


@cache
def read_limits(section: type[Section], name: str) -> Limits:
    """From the key's annotation."""
    field = section.model_fields[name]
    found: dict[str, Any] = {}
    for mark in field.metadata:
        for attribute, key in (("ge", "low"), ("gt", "low"), ("le", "high"), ("lt", "high"), ("max_length", "length")):
            if getattr(mark, attribute, None) is not None:
                found[key] = getattr(mark, attribute)
                if attribute in ("gt", "lt"):
                    found["above" if attribute == "gt" else "below"] = True
    members = [_strip(member) for member in _list_members(field.annotation)]
    nullable = type(None) in members
    first = next(member for member in members if member is not type(None))
    if get_origin(first) is tuple and get_origin(_strip(get_args(first)[0])) is Literal:
        first = _strip(get_args(first)[0])
    if get_origin(first) is Literal:
        return Limits("choice", options=get_args(first), nullable=nullable)
    kind = {bool: "switch", int: "whole", float: "real"}.get(first, "line")
    return Limits(kind, nullable=nullable, **found)


def _list_members(annotation: Any) -> tuple[Any, ...]:
    """A union's members; anything else by itself."""
    whole = _strip(annotation)
    return get_args(whole) if get_origin(whole) in (Union, types.UnionType) else (whole,)


def _strip(annotation: Any) -> Any:
    """Without pydantic's marks."""
    return _strip(get_args(annotation)[0]) if get_origin(annotation) is Annotated else annotation
