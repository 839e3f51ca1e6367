"""Groups of fields on the screen, and the folds that keep what beginners need not see."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import streamlit as st

from chain_core.services.drafts.checks import Inspection
from chain_core.ui.chain import choices as chain_choices
from chain_core.ui.chain import fields as chain_fields
from chain_core.ui.chain.edit import Path, get_default
from chain_core.ui.chain.fields import read, read_whole
from chain_core.ui.chain.limits import Limits, read_limits
from chain_core.ui.chain.spec import Field, Group
from chain_core.ui.language import get_language, t
from chain_core.ui.shell import escape_markdown


@dataclass(frozen=True)
class Context:
    """What a group's fields offer besides what the config says."""

    inspection: Inspection
    columns: tuple[str, ...] = ()
    """Of the table that the section reads."""
    highest: Mapping[str, int] | None = None
    """Field -> the largest number that makes sense just now."""


def show_problems(inspection: Inspection, *sections: str) -> None:
    """What is wrong with some sections of the draft, under their heading."""
    seen = set()
    for problem in inspection.problems:
        if find_section(problem.path) in sections:
            sentence = problem.error.text(get_language())
            if sentence not in seen:
                st.error(escape_markdown(sentence), icon=":material/error:")
            seen.add(sentence)


def find_section(path: str) -> str:
    """`stages[0].depth` -> `stages`."""
    return path.split(".")[0].split("[")[0]


@contextmanager
def fold(label: str, *, changed: int = 0, mark: str = "", wrong: bool = False) -> Iterator[None]:
    """A fold with a plain sentence of what it is for (under the label's key and `_text`).

    Its label tells how much in it is no default (`changed`), or what it holds (`mark`).
    """
    mark = t("chain.changed", count=changed) if changed else mark
    name = f"{t(label)} · {escape_markdown(mark)}" if mark else t(label)
    icon = ":material/error:" if wrong else None
    with st.expander(name, key=label.replace(".", "_"), icon=icon, expanded=wrong):
        st.caption(t(f"{label}_text"))
        yield


def count_changes(group: Group, base: Path) -> int:
    """How many fields of a group hold something else than their default."""
    return sum(_is_changed(group, base, field) for field in group.fields)


def applies(group: Group, base: Path) -> bool:
    """Whether any field of a group applies."""
    section, whole = read(base), read_whole()
    return isinstance(section, Mapping) and any(field.when(section, whole) for field in group.fields)


def show_group(group: Group, base: Path, context: Context, *, columns: int = 2) -> None:
    """The fields that apply or hold something, in columns, filled row by row."""
    section, whole = read(base), read_whole()
    section = section if isinstance(section, Mapping) else {}
    shown = [field for field in group.fields if field.when(section, whole) or _is_changed(group, base, field)]
    for row in _split_rows(shown, columns):
        for place, field in zip(st.columns(1 if row[0].wide else columns), row, strict=False):
            with place:
                show_field(field, (*base, field.name), read_limits(group.section, field.name), context)


def _split_rows(fields: list[Field], columns: int) -> Iterator[list[Field]]:
    """Rows of as many fields as there are columns; a wide one stands alone."""
    row: list[Field] = []
    for field in fields:
        if row and (field.wide or len(row) == columns):
            yield row
            row = []
        row.append(field)
        if field.wide:
            yield row
            row = []
    if row:
        yield row


def show_field(field: Field, path: Path, limits: Limits, context: Context) -> None:
    """One field's widget."""
    WIDGETS[field.widget or limits.kind](field, path, limits, context)


def _is_changed(group: Group, base: Path, field: Field) -> bool:
    return read((*base, field.name)) != get_default(read_whole(), group.section, (*base, field.name))


def _show_whole(field: Field, path: Path, limits: Limits, context: Context) -> None:
    high = int(limits.high) - limits.below
    high = min((context.highest or {}).get(field.name, high), high)
    low, step = int(limits.low) + limits.above, int(field.step) or 1
    chain_fields.whole_number(
        field.label, path, low, max(high, low), step=step, help=f"{field.label}_help",
        off=field.off if limits.nullable else None,
    )  # fmt: skip


def _show_real(field: Field, path: Path, limits: Limits, context: Context) -> None:
    tiny = 1e-8
    low, high = limits.low + tiny * limits.above, limits.high - tiny * limits.below
    chain_fields.real_number(
        field.label, path, float(low), float(high), step=field.step, help=f"{field.label}_help",
        off=field.off if limits.nullable else None,
    )  # fmt: skip


def _show_slide(field: Field, path: Path, limits: Limits, context: Context) -> None:
    step = field.step
    low, high = limits.low + step * limits.above, limits.high - step * limits.below
    chain_fields.slide(field.label, path, float(low), float(high), step=step, help=f"{field.label}_help")


def _show_choice(field: Field, path: Path, limits: Limits, context: Context) -> None:
    chain_fields.choice(
        field.label, path, limits.options, prefix=field.prefix or field.label, help=f"{field.label}_help"
    )


def _show_several(field: Field, path: Path, limits: Limits, context: Context) -> None:
    chain_fields.several(field.label, path, limits.options, prefix=field.label, help=f"{field.label}_help")


def _show_any(field: Field, path: Path, limits: Limits, context: Context) -> None:
    chain_fields.several(field.label, path, limits.options, prefix=field.label, help=f"{field.label}_help", least=0)


def _show_line(field: Field, path: Path, limits: Limits, context: Context) -> None:
    help = f"{field.label}_help"
    off = field.off if limits.nullable else None
    chain_fields.line(field.label, path, limit=int(min(limits.length, 4096)), help=help, off=off)


def _show_switch(on: Any, off: Any, field: Field, path: Path, limits: Limits, context: Context) -> None:
    chain_fields.switch(field.label, path, on=on, off=off, help=f"{field.label}_help")


def _show_column(field: Field, path: Path, limits: Limits, context: Context) -> None:
    chain_fields.pick(field.label, path, context.columns, help=f"{field.label}_help")


def _show_column_pair(field: Field, path: Path, limits: Limits, context: Context) -> None:
    chain_choices.pair(field.label, path, context.columns)


def _call(widget: Callable[..., None], field: Field, path: Path, limits: Limits, context: Context) -> None:
    """A widget that needs its label, path and help only."""
    widget(field.label, path, help=f"{field.label}_help")


def _show_numbers(field: Field, path: Path, limits: Limits, context: Context) -> None:
    chain_fields.numbers(field.label, path, help=f"{field.label}_help", off=field.off)


def _show_source(field: Field, path: Path, limits: Limits, context: Context) -> None:
    chain_choices.source(field.label, path, help=f"{field.label}_help", off=field.off if limits.nullable else None)


def _show_targets(field: Field, path: Path, limits: Limits, context: Context) -> None:
    chain_choices.targets(field.label, path, context.inspection.targets)


Draw = Callable[[Field, Path, Limits, Context], None]
WIDGETS: dict[str, Draw] = {
    "whole": _show_whole,
    "real": _show_real,
    "slide": _show_slide,
    "choice": _show_choice,
    "several": _show_several,
    "any": _show_any,
    "line": _show_line,
    "switch": partial(_show_switch, True, False),
    "freeze": partial(_show_switch, "freeze", "train"),
    "balance": partial(_show_switch, "balanced", "none"),
    "tune": partial(_show_switch, "tuned", "fixed"),
    "column": _show_column,
    "column_pair": _show_column_pair,
    "line_pair": partial(_call, chain_choices.line_pair),
    "numbers": _show_numbers,
    "count": partial(_call, chain_fields.count),
    "source": _show_source,
    "share_or_source": partial(_call, chain_choices.share_or_source),
    "tie": partial(_call, chain_choices.tie),
    "densities": partial(_call, chain_choices.densities),
    "metric": partial(_call, chain_choices.metric),
    "heads": partial(_call, chain_choices.heads),
    "targets": _show_targets,
}
"""How each widget that a field may name is drawn."""
