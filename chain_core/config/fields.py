"""Types of the config's values, and the section that they stand in."""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag

MAX_DEPTH = 12


def _refuse_no_number(value: Any) -> Any:
    if isinstance(value, bool) or value != value:
        raise ValueError("not_a_number")
    return value


def name_switch(value: Any) -> Any:
    """YAML 1.1 reads a bare `on` or `off` as a truth value."""
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else value


Int = Annotated[int, BeforeValidator(_refuse_no_number)]
Float = Annotated[float, BeforeValidator(_refuse_no_number), Field(allow_inf_nan=False)]
Share = Annotated[Float, Field(gt=0, le=1)]
Depth = Annotated[
    Annotated[Literal["last"], Tag("word")] | Annotated[Int, Field(ge=0, le=MAX_DEPTH), Tag("number")],
    Discriminator(lambda value: "word" if isinstance(value, str) else "number"),
]


_COUNT = re.compile(r"([0-9]+(?:\.[0-9]+)?)([eE]\+?[0-9]+)?\s*([kKmM])?")


def _read_count(value: Any) -> Any:
    """`500k` -> 500000, `1.5M` -> 1500000, `1e6`, which YAML reads as text, -> 1000000; anything else as it is."""
    match = _COUNT.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None or not (match[2] or match[3]):
        return value
    number = float(match[1] + (match[2] or "")) * {"": 1, "k": 1_000, "m": 1_000_000}[(match[3] or "").lower()]
    return round(number) if math.isfinite(number) else value


Count = Annotated[Int, BeforeValidator(_read_count), Field(ge=1)]
"""A number of parameters: 500000, `500k`, `0.5M` or `5e5`."""
Tie = Annotated[
    Annotated[Literal["backbone"], Tag("word")] | Annotated[Int, Field(ge=1, le=MAX_DEPTH), Tag("number")],
    Discriminator(lambda value: "word" if isinstance(value, str) else "number"),
]


Name = Annotated[str, Field(pattern=r"^[^\s/@:|]{1,64}$")]


class Section(BaseModel):
    """A part of the config: cannot change, knows no extra keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)
