"""Marks of a drawing: boxes, texts, lines and curves as SVG. Pure; every text is escaped.

Colours come from the style sheet's classes.
"""

from __future__ import annotations

from html import escape


def format_count(count: float) -> str:
    """12,345 -> 12.3K; at most three digits."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "K")):
        if count >= 0.9995 * size:
            value = count / size
            return (
                f"{value:.2f}{unit}"
                if value < 9.995
                else f"{value:.1f}{unit}"
                if value < 99.95
                else f"{value:.0f}{unit}"
            )
    return f"{count:.0f}"


def format_share(trainable: int, parameters: int) -> str:
    return f"{format_count(trainable)} / {format_count(parameters)}"


def shorten(text: str, length: int) -> str:
    """One line of at most `length` columns; Chinese characters take two."""
    text, used = " ".join(text.split()), 0
    for index, character in enumerate(text):
        used += 2 if ord(character) > 0x2E80 else 1
        if used > length:
            return text[: max(index - 1, 1)] + "…"
    return text


def draw_box(x: float, y: float, width: float, height: float, kind: str, *, radius: int = 7, title: str = "") -> str:
    inside = f"<title>{escape(shorten(title, 200))}</title>" if title else ""
    size = f'x="{x:.5g}" y="{y:.5g}" width="{width:.5g}" height="{height:.5g}" rx="{radius}"'
    return f'<rect {size} class="{kind}">{inside}</rect>'


def draw_text(x: float, y: float, text: str, kind: str) -> str:
    return f'<text x="{x:.5g}" y="{y:.5g}" class="{kind}">{escape(shorten(text, 200))}</text>'


def draw_line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<path d="M{x1:.5g} {y1:.5g}L{x2:.5g} {y2:.5g}" class="{kind}" marker-end="url(#chain-arrow)"/>'


def draw_curve(x1: float, y1: float, x2: float, y2: float, kind: str, *, straight: float | None = None) -> str:
    """An arrow that bends between the ends, or only after it has gone `straight` on to there."""
    begin = f"M{x1:.5g} {y1:.5g}"
    if straight is not None:
        begin, x1 = f"{begin}L{straight:.5g} {y1:.5g}", straight
    bend = (x2 - x1) * 0.5
    path = f"{begin}C{x1 + bend:.5g} {y1:.5g} {x2 - bend:.5g} {y2:.5g} {x2:.5g} {y2:.5g}"
    return f'<path d="{path}" class="{kind}" marker-end="url(#chain-arrow)"/>'
