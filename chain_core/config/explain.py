"""pydantic's findings in this project's words, each with the path of its key."""

from __future__ import annotations

from typing import Any

from chain_core.config.fields import Section
from chain_core.config.root import Config
from chain_core.config.sections import (
    AugmentConfig,
    BackboneConfig,
    ChainConfig,
    DataConfig,
    HeadConfig,
    InputConfig,
    LinkConfig,
    SetConfig,
    StageConfig,
    StartConfig,
    TrainConfig,
)  # fmt: skip
from chain_core.errors import ConfigError
from chain_core.registry import nearest

_NAMED_BY_USER = {("heads",), ("also",)}
_TAGS = {"one", "each", "word", "number", "str", "float", "int"}
_TAG_PREFIXES = ("literal[", "tuple[", "function-", "constrained-")


def _format_path(location: tuple[Any, ...]) -> str:
    """`("chain", "links", "each", 2, "density")` -> `chain.links[2].density`, without pydantic's words."""
    path = ""
    for index, part in enumerate(location):
        named_by_user = index == 0 or location[:index] in _NAMED_BY_USER
        if isinstance(part, int):
            path += f"[{part}]"
        elif named_by_user or not (part in _TAGS or str(part).startswith(_TAG_PREFIXES)):
            path += f".{part}" if path else str(part)
    return path.removesuffix(".[key]")


def explain_finding(detail: Any) -> ConfigError:
    """One of pydantic's findings in this project's words."""
    kind, context = detail["type"], detail.get("ctx", {})
    location = detail["loc"]
    path = _format_path(location)
    given = _shorten(detail.get("input"))
    if kind == "extra_forbidden":
        known = _known_keys(location)
        close = nearest(str(location[-1]), known)
        code = "unknown_key" if close else "unknown_key_list"
        return ConfigError(code, path=path, nearest=close, known=", ".join(known))
    if kind == "missing":
        return ConfigError("missing_key", path=path)
    if kind == "literal_error":
        known = [word.strip(" '") for word in context["expected"].replace(" or ", ", ").split(",")]
        close = nearest(str(detail.get("input")), known)
        code = "not_one_of_nearest" if close else "not_one_of"
        return ConfigError(code, path=path, given=given, known=", ".join(known), nearest=close)
    if kind in _BOUNDS:
        code, key = _BOUNDS[kind]
        return ConfigError(code, path=path, given=given, limit=context[key])
    if kind == "string_pattern_mismatch" and location[0] in ("heads", "also"):
        return ConfigError("head_name", path=path, given=given)
    return ConfigError(_WRONG_TYPES.get(kind, "invalid"), path=path, given=given)


_BOUNDS = {
    "greater_than": ("must_exceed", "gt"),
    "greater_than_equal": ("must_be_at_least", "ge"),
    "less_than": ("must_be_below", "lt"),
    "less_than_equal": ("must_be_at_most", "le"),
    "string_too_long": ("too_long", "max_length"),
    "string_too_short": ("too_short", "min_length"),
    "too_short": ("too_short", "min_length"),
}


_WRONG_TYPES = {
    "int_parsing": "not_integer", "int_type": "not_integer", "int_from_float": "not_integer",
    "float_parsing": "not_number", "float_type": "not_number", "finite_number": "not_number",
    "value_error": "not_number",
    "bool_parsing": "not_bool", "bool_type": "not_bool",
    "string_type": "not_text",
    "model_type": "not_mapping", "dict_type": "not_mapping", "model_attributes_type": "not_mapping",
    "tuple_type": "not_list", "list_type": "not_list",
}  # fmt: skip


def _shorten(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "…"


def _known_keys(location: tuple[Any, ...]) -> list[str]:
    sections: dict[str, type[Section]] = {
        "data": DataConfig, "input": InputConfig, "backbone": BackboneConfig,
        "chain": ChainConfig, "links": LinkConfig, "heads": HeadConfig, "train": TrainConfig,
        "also": SetConfig, "augment": AugmentConfig, "stages": StageConfig, "start": StartConfig,
    }  # fmt: skip
    section: type[Section] = Config
    for index, part in enumerate(location[:-1]):
        named_by_user = location[:index] in _NAMED_BY_USER
        if isinstance(part, str) and not named_by_user:
            section = sections.get(part, section)
    return list(section.model_fields)
