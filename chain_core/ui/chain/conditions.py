"""When a field of the Chain page applies. Pure: no streamlit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from chain_core.config.checks import OPTIONS_OF_KINDS
from chain_core.config.fields import name_switch
from chain_core.ui.chain.edit import get_value

Scope = Mapping[str, Any]
When = Callable[[Scope, Scope], bool]
"""(the field's own section, the whole draft), both complete -> whether the field applies."""


def has_kind(*kinds: str) -> When:
    return lambda section, whole: section.get("kind") in kinds


def convolves(section: Scope, whole: Scope) -> bool:
    """Convolutions, or links that may become some of themselves: where heads tag."""
    tags = any(head.get("kind") == "tagging" for head in _list_heads(whole))
    return section.get("kind") == "conv" or (section.get("kind") == "auto" and tags)


def has_tuning(*tunings: str) -> When:
    return lambda section, whole: section.get("tuning") in tunings


def is_tuned_but(tuning: str) -> When:
    """Whatever the backbone's tuning is, but for this one."""
    return lambda section, whole: get_value(whole, ("backbone", "tuning")) not in (None, tuning)


is_tuned = is_tuned_but("frozen")


def is_several(section: Scope, whole: Scope) -> bool:
    """Several depths, each with an output of its own."""
    depths = section.get("depths")
    return isinstance(depths, list) and len(depths) > 1 and not section.get("mixture")


def mixes(section: Scope, whole: Scope) -> bool:
    return isinstance(section.get("depths"), list) and len(section["depths"]) > 1


def weighs_classes(section: Scope, whole: Scope) -> bool:
    return section.get("kind") in OPTIONS_OF_KINDS["focal"] and not _has_crf(section)


def smooths(section: Scope, whole: Scope) -> bool:
    return section.get("kind") in OPTIONS_OF_KINDS["label_smoothing"] and not _has_crf(section)


def _has_crf(section: Scope) -> bool:
    return name_switch(section.get("crf")) == "on"


def has_pair(section: Scope, whole: Scope) -> bool:
    if section.get("kind") not in OPTIONS_OF_KINDS["pooling"]:
        return False
    name = section.get("data")
    columns = get_value(whole, ("also", name, "input") if isinstance(name, str) else ("input",))
    return section.get("kind") == "next_sentence" or (isinstance(columns, Mapping) and bool(columns.get("pair")))


def augments(section: Scope, whole: Scope) -> bool:
    copies = section.get("copies")
    return isinstance(copies, int) and copies > 0


def translates(section: Scope, whole: Scope) -> bool:
    return augments(section, whole) and bool(section.get("back_translation"))


def has_several_heads(section: Scope, whole: Scope) -> bool:
    heads = whole.get("heads")
    return isinstance(heads, Mapping) and len(heads) > 1


def has_several_losses(section: Scope, whole: Scope) -> bool:
    """Several heads, or one that answers at several depths."""
    each = _list_heads(whole)
    return len(each) > 1 or any(is_several(head, whole) for head in each)


def _list_heads(whole: Scope) -> list[Scope]:
    heads = whole.get("heads")
    return [head for head in heads.values() if isinstance(head, Mapping)] if isinstance(heads, Mapping) else []


def draws_fractions(section: Scope, whole: Scope) -> bool:
    return not section.get("split")


def learns_itself(section: Scope, whole: Scope) -> bool:
    return section.get("objective") != "tasks"


def learns_some_heads(section: Scope, whole: Scope) -> bool:
    return not learns_itself(section, whole) and has_several_heads(section, whole)


def hides_words(section: Scope, whole: Scope) -> bool:
    return section.get("objective") == "masked_lm"
