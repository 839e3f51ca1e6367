"""Tags as coloured spans in the text: HTML in which every word and label is escaped.

Colours are a translucent ground with the text's own colour on it and a solid line below, so that they read in
light and dark alike. A span that gold does not have is marked by a dashed red line, not by colour alone.
"""

from __future__ import annotations

import html
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

HUES = (
    "47,111,159",
    "201,120,20",
    "34,139,94",
    "139,84,178",
    "176,70,102",
    "14,140,150",
    "133,120,20",
    "95,105,200",
    "190,85,40",
    "90,130,60",
)
"""Red, green, blue of each colour; types beyond the tenth begin anew."""

STYLE = """
.spans{line-height:2.1;overflow-wrap:anywhere}
.spans mark{color:inherit;padding:.15em .3em;border-radius:.3em .3em 0 0;border-bottom:2px solid;
 -webkit-box-decoration-break:clone;box-decoration-break:clone}
.spans mark.odd{border-bottom:2px dashed #d64541;outline:1px dashed #d64541}
.spans mark small{font-size:.72em;opacity:.8;margin-inline-start:.4em;white-space:nowrap}
"""


@dataclass(frozen=True)
class Span:
    """Words `start` … `end` - 1 of a text; `label` is the entity's type, "" outside of any."""

    start: int
    end: int
    label: str


def build_spans(tags: Sequence[str]) -> list[Span]:
    """Entities as seqeval finds them and the stretches between, from the first word to the last."""
    spans: list[Span] = []
    previous = "O"
    for i, tag in enumerate(tags):
        mark, _, name = (tag or "O").partition("-")
        label = "" if mark == "O" else name or mark
        begins = label and (mark in ("B", "S") or previous.partition("-")[0] in ("E", "S"))
        if spans and spans[-1].label == label and not begins:
            spans[-1] = Span(spans[-1].start, i + 1, label)
        else:
            spans.append(Span(i, i + 1, label))
        previous = tag or "O"
    return spans


def choose_colours(labels: Sequence[str]) -> dict[str, str]:
    """Entity type -> one of HUES, the same for the same types in whatever order they come."""
    return {label: HUES[i % len(HUES)] for i, label in enumerate(sorted(set(labels)))}


def choose_tag_colours(tags: Sequence[str]) -> dict[str, str]:
    """Entity type -> colour, from a label space of tags."""
    return choose_colours([span.label for tag in tags for span in build_spans([tag]) if span.label])


def render_spans(
    tokens: Sequence[str],
    tags: Sequence[str],
    colours: Mapping[str, str],
    gold: Sequence[str] | None = None,
) -> str:
    """The words as one HTML element of class `spans`; spans that `gold`, where given, lacks are `odd`."""
    known = set(build_spans(gold)) if gold is not None else None
    padded = [*tags[: len(tokens)], *["O"] * (len(tokens) - len(tags))]
    parts: list[str] = []
    for span in build_spans(padded):
        if parts:
            parts.append(_space(tokens[span.start - 1], tokens[span.start]))
        words = html.escape(join_words(tokens[span.start : span.end]))
        odd = known is not None and span not in known
        parts.append(_mark(words, span.label, colours, odd) if span.label else words)
    return f'<div class="spans" dir="auto">{"".join(parts)}</div>'


def join_words(words: Sequence[str]) -> str:
    """Words with spaces between, but none between Chinese or Japanese characters."""
    text = words[0] if words else ""
    for before, word in pairwise(words):
        text += _space(before, word) + word
    return text


def _mark(words: str, label: str, colours: Mapping[str, str], odd: bool) -> str:
    hue = colours.get(label, HUES[0])
    kind = ' class="odd"' if odd else ""
    line = "" if odd else f";border-bottom-color:rgb({hue})"
    style = f"background:rgba({hue},.22){line}"
    return f'<mark{kind} style="{style}">{words}<small>{html.escape(label)}</small></mark>'


def _space(before: str, after: str) -> str:
    return "" if before and after and _is_wide(before[-1]) and _is_wide(after[0]) else " "


def _is_wide(character: str) -> bool:
    wide = unicodedata.east_asian_width(character) in "WF"
    return wide and not unicodedata.name(character, "").startswith("HANGUL")  # Korean puts spaces
