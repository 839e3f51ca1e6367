"""A chain as a picture: backbone layers, taps, links, heads at their depths, shapes and parameters.

Pure: a plan in, one line of SVG out. Colours come from the style sheet's classes, so that both themes look right; every
name is escaped. Read from top to bottom: layer 0 and link 1 stand at the top, as knowledge travels downward.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html import escape

from chain_core.config import Config
from chain_core.modeling.plan import Part, Plan

Translate = Callable[..., str]

WIDTH = 560
HEADER = 66
LAYERS_X, LAYERS_WIDTH = 4, 104
LINKS_X, LINKS_WIDTH = 170, 142
HEADS_X, HEADS_WIDTH = 362, 194
LINK_HEIGHT, HEAD_HEIGHT, LEXICAL_HEIGHT, GAP = 48, 42, 34, 8


@dataclass(frozen=True)
class _Row:
    """One depth: its heads, and where it lies. Depth 0 stands last, beside the backbone's last layer."""

    position: int
    heads: tuple[Part, ...]
    top: float
    height: float

    @property
    def middle(self) -> float:
        return self.top + self.height / 2


def build_drawing(config: Config, plan: Plan, translate: Translate) -> str:
    """One `<div>` with an SVG in it, on one line."""
    lexical = next((part for part in plan.parts if part.kind == "lexical"), None)
    top = HEADER + (LEXICAL_HEIGHT + 2 * GAP if lexical else 0)
    rows = _place_rows(config, plan, top)
    bottom = rows[-1].top + rows[-1].height
    layers = _place_layers(plan.num_layers, HEADER, rows[-1].middle)
    marks = [
        *_draw_titles(config, plan, translate),
        *_draw_layers(plan, layers, translate),
        *_draw_taps(plan, layers, rows),
        *_draw_links(config, plan, rows, translate),
        *_draw_heads(config, plan, rows, layers, translate),
        *(_draw_lexical(lexical, rows, translate) if lexical else ()),
        *_draw_legend(bottom + 24, translate),
    ]
    label = escape(translate("chain.drawing_label", depth=config.chain.depth), quote=True)
    return (
        f'<div class="chain-drawing"><svg viewBox="0 0 {WIDTH} {bottom + 36:g}" role="img" aria-label="{label}">'
        '<defs><marker id="chain-arrow" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="6" markerHeight="6" '
        'orient="auto"><path d="M0 1L9 5L0 9z" class="cd-tip"/></marker></defs>'
        f"{''.join(marks)}</svg></div>"
    )


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


def _place_rows(config: Config, plan: Plan, top: float) -> list[_Row]:
    heads = [part for part in plan.parts if part.kind == "head"]
    positions = list(range(1, config.chain.depth + 1))
    if not positions or any(head.position == 0 for head in heads):
        positions.append(0)
    by_position = {p: tuple(head for head in heads if head.position == p) for p in positions}
    heights = {
        position: max(LINK_HEIGHT, len(found) * (HEAD_HEIGHT + GAP) - GAP) + 2 * GAP
        for position, found in by_position.items()
    }
    # The layers beside the rows need room as well.
    needed = (plan.num_layers + 1) * (26 if plan.num_layers <= 14 else 11 if plan.num_layers <= 40 else 6)
    extra = max(0.0, needed - (top - HEADER) - sum(heights.values())) / len(positions)
    rows = []
    for position in positions:
        height = heights[position] + extra
        rows.append(_Row(position, by_position[position], top, height))
        top += height
    return rows


def _place_layers(count: int, top: float, last: float) -> list[tuple[float, float]]:
    """(top, height) of layer 0 … count; the last one's middle lies at `last`, beside the last row."""
    step = (last - top) / (count + 0.5)
    height = min(step - min(4, step / 4), 28)
    first = last - count * step
    return [(first + index * step - height / 2, height) for index in range(count + 1)]


def _draw_titles(config: Config, plan: Plan, translate: Translate) -> Iterator[str]:
    tokens = "1" if plan.pooled else "T"
    trainable = sum(part.trainable for part in plan.parts if part.kind == "backbone")
    parameters = sum(part.parameters for part in plan.parts if part.kind == "backbone")
    yield _text(LAYERS_X, 16, _shorten(config.backbone.name, 22), "cd-title")
    line = f"{translate(f'chain.tuning_{config.backbone.tuning}')} · {_count(trainable, parameters)}"
    yield _text(LAYERS_X, 34, line, "cd-small")
    yield _text(LAYERS_X, 50, f"B × {tokens} × {plan.hidden_size}", "cd-shape")
    if config.chain.depth:
        links = sum(part.trainable for part in plan.parts if part.kind in ("link", "lexical"))
        yield _text(LINKS_X, 16, translate("chain.links_title", depth=config.chain.depth), "cd-title")
        yield _text(LINKS_X, 34, format_count(links), "cd-small")
        yield _text(LINKS_X, 50, f"B × {tokens} × {config.chain.width}", "cd-shape")
    heads = sum(part.trainable for part in plan.parts if part.kind == "head")
    yield _text(HEADS_X, 16, translate("chain.heads_title"), "cd-title")
    yield _text(HEADS_X, 34, format_count(heads), "cd-small")


def _draw_layers(plan: Plan, layers: list[tuple[float, float]], translate: Translate) -> Iterator[str]:
    read = {*plan.taps, *([plan.num_layers] if any(_is_on_backbone(part) for part in plan.parts) else [])}
    lowest_tuned = plan.num_layers - plan.tuned_layers + 1
    for index, (top, height) in enumerate(layers):
        tuned = plan.tuned_layers > 0 and index >= lowest_tuned
        kind = "cd-trained" if tuned else "cd-frozen"
        yield _box(LAYERS_X, top, LAYERS_WIDTH, height, f"{kind}{' cd-read' if index in read else ''}", radius=4)
        if height >= 11 and (len(layers) <= 16 or index in read or index in (0, plan.num_layers)):
            name = translate("chain.embeddings") if index == 0 else translate("chain.layer", number=index)
            yield _text(LAYERS_X + 10, top + height / 2, name, "cd-small cd-middle")


def _draw_taps(plan: Plan, layers: list[tuple[float, float]], rows: list[_Row]) -> Iterator[str]:
    for row, tap in zip(rows, plan.taps, strict=False):
        top, height = layers[tap]
        yield _curve(LAYERS_X + LAYERS_WIDTH, top + height / 2, LINKS_X, row.middle, "cd-tap")


def _draw_links(config: Config, plan: Plan, rows: list[_Row], translate: Translate) -> Iterator[str]:
    parts = {part.position: part for part in plan.parts if part.kind == "link"}
    for row in rows:
        if row.position == 0:
            continue
        link, part = config.get_link(row.position), parts[row.position]
        top = row.middle - LINK_HEIGHT / 2
        kind = "cd-trained" if link.strategy == "train" else "cd-frozen"
        density = f"{translate('chain.density_short')} {link.density:.2g}"
        yield _box(LINKS_X, top, LINKS_WIDTH, LINK_HEIGHT, kind)
        yield _text(LINKS_X + 28, top + 20, translate(f"chain.link_{link.kind}"), "cd-name")
        yield _text(LINKS_X + 28, top + 36, f"{density} · {format_count(part.parameters)}", "cd-small")
        yield _text(LINKS_X + 14, row.middle, str(row.position), "cd-number cd-middle cd-centre")
        if row.position < config.chain.depth:
            below = rows[row.position].middle - LINK_HEIGHT / 2
            centre = LINKS_X + LINKS_WIDTH / 2
            style = "cd-state cd-cut" if config.get_link(row.position + 1).detach else "cd-state"
            yield _line(centre, top + LINK_HEIGHT, centre, below, style)


def _draw_heads(
    config: Config, plan: Plan, rows: list[_Row], layers: list[tuple[float, float]], translate: Translate
) -> Iterator[str]:
    for row in rows:
        top = row.middle - (len(row.heads) * (HEAD_HEIGHT + GAP) - GAP) / 2
        for part in row.heads:
            assert config.heads is not None
            head = config.heads[part.name]
            middle = top + HEAD_HEIGHT / 2
            if row.position:
                yield _curve(LINKS_X + LINKS_WIDTH, row.middle, HEADS_X, middle, "cd-state")
            else:
                layer_top, height = layers[-1]
                yield _curve(LAYERS_X + LAYERS_WIDTH, layer_top + height / 2, HEADS_X, middle, "cd-tap")
            kind = translate(f"chain.kind_{head.kind}")
            words = "B × W × " if head.kind == "tagging" else "B × "
            title = f"{part.name} · {kind} · {words}{part.width}"
            yield _box(HEADS_X, top, HEADS_WIDTH, HEAD_HEIGHT, "cd-head", title=title)
            yield _text(HEADS_X + 10, top + 17, _shorten(part.name, 24), "cd-name")
            line = f"{kind} · {words}{part.width} · {format_count(part.parameters)}"
            yield _text(HEADS_X + 10, top + 33, _shorten(line, 33), "cd-small")
            top += HEAD_HEIGHT + GAP


def _draw_lexical(part: Part, rows: list[_Row], translate: Translate) -> Iterator[str]:
    yield _box(LINKS_X, HEADER, LINKS_WIDTH, LEXICAL_HEIGHT, "cd-trained cd-lexical")
    name = f"{translate('chain.lexical')} · {format_count(part.parameters)}"
    yield _text(LINKS_X + LINKS_WIDTH / 2, HEADER + LEXICAL_HEIGHT / 2, name, "cd-small cd-middle cd-centre")
    centre = LINKS_X + LINKS_WIDTH / 2
    yield _line(centre, HEADER + LEXICAL_HEIGHT, centre, rows[0].middle - LINK_HEIGHT / 2, "cd-tap")


def _draw_legend(y: float, translate: Translate) -> Iterator[str]:
    x = float(LAYERS_X)
    for kind in ("cd-trained", "cd-frozen", "cd-head"):
        yield _box(x, y - 5, 14, 10, kind, radius=2)
        name = translate(f"chain.legend_{kind.removeprefix('cd-')}")
        yield _text(x + 20, y, name, "cd-small cd-middle")
        x += 40 + 6.5 * sum(2 if ord(character) > 0x2E80 else 1 for character in name)


def _is_on_backbone(part: Part) -> bool:
    return part.kind == "head" and part.position == 0


def _count(trainable: int, parameters: int) -> str:
    return f"{format_count(trainable)} / {format_count(parameters)}"


def _shorten(text: str, length: int) -> str:
    """One line of at most `length` columns; Chinese characters take two."""
    text, used = " ".join(text.split()), 0
    for index, character in enumerate(text):
        used += 2 if ord(character) > 0x2E80 else 1
        if used > length:
            return text[: max(index - 1, 1)] + "…"
    return text


def _box(x: float, y: float, width: float, height: float, kind: str, *, radius: int = 7, title: str = "") -> str:
    inside = f"<title>{escape(_shorten(title, 200))}</title>" if title else ""
    size = f'x="{x:.5g}" y="{y:.5g}" width="{width:.5g}" height="{height:.5g}" rx="{radius}"'
    return f'<rect {size} class="{kind}">{inside}</rect>'


def _text(x: float, y: float, text: str, kind: str) -> str:
    return f'<text x="{x:.5g}" y="{y:.5g}" class="{kind}">{escape(_shorten(text, 200))}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<path d="M{x1:.5g} {y1:.5g}L{x2:.5g} {y2:.5g}" class="{kind}" marker-end="url(#chain-arrow)"/>'


def _curve(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    bend = (x2 - x1) * 0.5
    path = f"M{x1:.5g} {y1:.5g}C{x1 + bend:.5g} {y1:.5g} {x2 - bend:.5g} {y2:.5g} {x2:.5g} {y2:.5g}"
    return f'<path d="{path}" class="{kind}" marker-end="url(#chain-arrow)"/>'
