"""A chain as a picture: backbone layers, taps, links, heads at their depths, shapes and parameters.

Pure: a plan in, one line of SVG out. Colours come from the style sheet's classes, so that both themes look right; every
name is escaped. Read from top to bottom: layer 0 and link 1 stand at the top, as knowledge travels downward.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html import escape

from chain_core.config import Config, LinkConfig
from chain_core.modeling.plan import Part, Plan
from chain_core.ui.chain.marks import draw_box, draw_curve, draw_line, draw_text, format_count, format_share, shorten

Translate = Callable[..., str]

WIDTH = 524
HEADER = 82
LAYERS_X, LAYERS_WIDTH = 4, 94
LINKS_X, LINKS_WIDTH = 146, 142
HEADS_X, HEADS_WIDTH = 328, 192
LINK_HEIGHT, HEAD_HEIGHT, LEXICAL_HEIGHT, GAP = 48, 42, 34, 8
SHAPES = {
    "tagging": "B × W × {K}", "span": "B × T × 2", "masked_lm": "B × T × V", "causal_lm": "B × T × V",
    "next_sentence": "B × 2",
}  # fmt: skip
"""What a head gives; B × K unless said here. W: words, V: the backbone's vocabulary."""


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
        *_draw_legend(config, bottom + 24, translate),
    ]
    label = escape(translate("chain.drawing_label", depth=config.chain.depth), quote=True)
    return (
        f'<div class="chain-drawing"><svg viewBox="0 0 {WIDTH} {bottom + 36:g}" role="img" aria-label="{label}">'
        '<defs><marker id="chain-arrow" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="6" markerHeight="6" '
        'orient="auto"><path d="M0 1L9 5L0 9z" class="cd-tip"/></marker></defs>'
        f"{''.join(marks)}</svg></div>"
    )


def _place_rows(config: Config, plan: Plan, top: float) -> list[_Row]:
    heads = [part for part in plan.parts if part.kind == "head"]
    positions = list(range(1, config.chain.depth + 1))
    if not positions or any(0 in config.get_depths(head.name) for head in heads):
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
    yield draw_text(LAYERS_X, 16, shorten(config.backbone.name, 17), "cd-title")
    yield draw_text(LAYERS_X, 34, translate(f"chain.tuning_{config.backbone.tuning}"), "cd-small")
    yield draw_text(LAYERS_X, 50, format_share(trainable, parameters), "cd-small")
    yield draw_text(LAYERS_X, 66, f"B × {tokens} × {plan.hidden_size}", "cd-shape")
    if config.chain.depth:
        links = sum(part.trainable for part in plan.parts if part.kind in ("link", "lexical"))
        yield draw_text(LINKS_X, 16, translate("chain.links_title", depth=config.chain.depth), "cd-title")
        yield draw_text(LINKS_X, 34, format_count(links), "cd-small")
        yield draw_text(LINKS_X, 50, f"B × {tokens} × {config.chain.width}", "cd-shape")
    heads = sum(part.trainable for part in plan.parts if part.kind == "head")
    yield draw_text(HEADS_X, 16, translate("chain.heads_title"), "cd-title")
    yield draw_text(HEADS_X, 34, format_count(heads), "cd-small")


def _draw_layers(plan: Plan, layers: list[tuple[float, float]], translate: Translate) -> Iterator[str]:
    read = {*plan.taps, *([plan.num_layers] if any(_is_on_backbone(part) for part in plan.parts) else [])}
    lowest_tuned = plan.num_layers - plan.tuned_layers + 1
    for index, (top, height) in enumerate(layers):
        tuned = plan.tuned_layers > 0 and index >= lowest_tuned
        kind = "cd-trained" if tuned else "cd-frozen"
        yield draw_box(LAYERS_X, top, LAYERS_WIDTH, height, f"{kind}{' cd-read' if index in read else ''}", radius=4)
        if height >= 11 and (len(layers) <= 16 or index in read or index in (0, plan.num_layers)):
            name = translate("chain.embeddings") if index == 0 else translate("chain.layer", number=index)
            yield draw_text(LAYERS_X + 10, top + height / 2, name, "cd-small cd-middle")


def _draw_taps(plan: Plan, layers: list[tuple[float, float]], rows: list[_Row]) -> Iterator[str]:
    for row, tap in zip(rows, plan.taps, strict=False):
        top, height = layers[tap]
        yield draw_curve(LAYERS_X + LAYERS_WIDTH, top + height / 2, LINKS_X, row.middle, "cd-tap")


def _draw_links(config: Config, plan: Plan, rows: list[_Row], translate: Translate) -> Iterator[str]:
    parts = {part.position: part for part in plan.parts if part.kind == "link"}
    joins = find_joins(config)
    for row in rows:
        if row.position == 0:
            continue
        link, part = config.get_link(row.position), parts[row.position]
        top = row.middle - LINK_HEIGHT / 2
        kind = "cd-trained" if link.strategy == "train" else "cd-frozen"
        # The fill is as wide as the link is dense.
        yield draw_box(LINKS_X, top, LINKS_WIDTH * link.density, LINK_HEIGHT, f"cd-share {kind}-share")
        yield draw_box(LINKS_X, top, LINKS_WIDTH, LINK_HEIGHT, f"{kind} cd-link")
        density = f"{translate('chain.density_short')} {link.density:.2g}"
        tap = plan.taps[row.position - 1]
        about = f"{density} · {format_count(part.parameters)}" if link.tie is None else _name_tie(link, tap, translate)
        yield draw_text(LINKS_X + 28, top + 20, translate(f"chain.link_{link.kind}"), "cd-name")
        yield draw_text(LINKS_X + 28, top + 36, about, "cd-small")
        yield draw_text(LINKS_X + 14, row.middle, str(row.position), "cd-number cd-middle cd-centre")
        if row.position in joins:
            label = f"+ {translate('chain.stage_number', number=joins[row.position])}"
            yield draw_text(LINKS_X + LINKS_WIDTH, top - 4, label, "cd-small cd-joins cd-end")
        if row.position < config.chain.depth:
            below = rows[row.position].middle - LINK_HEIGHT / 2
            centre = LINKS_X + LINKS_WIDTH / 2
            style = "cd-state cd-cut" if config.get_link(row.position + 1).detach else "cd-state"
            yield draw_line(centre, top + LINK_HEIGHT, centre, below, style)


def find_joins(config: Config) -> dict[int, int]:
    """Link -> the stage that it joins in, counted from 1, of the links that are not there from the first on."""
    joins: dict[int, int] = {}
    known = config.get_stages()[0].depth or 0
    for number, stage in enumerate(config.get_stages(), start=1):
        joins |= dict.fromkeys(range(known + 1, (stage.depth or 0) + 1), number)
        known = max(known, stage.depth or 0)
    return joins


def _name_tie(link: LinkConfig, tap: int, translate: Translate) -> str:
    if link.tie != "backbone":
        return f"= {translate('chain.tie_link', number=link.tie)}"
    return f"= {translate('chain.layer', number=tap) if tap else translate('chain.embeddings')}"


def _draw_heads(
    config: Config, plan: Plan, rows: list[_Row], layers: list[tuple[float, float]], translate: Translate
) -> Iterator[str]:
    by_position = {row.position: row for row in rows}
    for row in rows:
        top = row.middle - (len(row.heads) * (HEAD_HEIGHT + GAP) - GAP) / 2
        for part in row.heads:
            assert config.heads is not None
            head, depths = config.heads[part.name], config.get_depths(part.name)
            middle = top + HEAD_HEIGHT / 2
            for position in depths if head.mixture else (row.position,):
                if position:
                    start = by_position[position].middle
                    yield draw_curve(LINKS_X + LINKS_WIDTH, start, HEADS_X, middle, "cd-state")
                else:
                    layer_top, height = layers[-1]
                    start, past = layer_top + height / 2, LINKS_X + LINKS_WIDTH
                    yield draw_curve(LAYERS_X + LAYERS_WIDTH, start, HEADS_X, middle, "cd-tap", straight=past)
            kind = translate(f"chain.kind_{head.kind}")
            shape = SHAPES.get(head.kind, "B × {K}").replace("{K}", str(part.width))
            size = format_count(part.parameters)
            if head.share and row.position != depths[0]:
                size = f"= {translate('chain.at_depths', depths=depths[0])}"
            notes = [translate("chain.mixture_short")] if head.mixture and len(depths) > 1 else []
            notes += [translate("chain.from_data", name=shorten(head.data, 10))] if head.data else []
            yield draw_box(HEADS_X, top, HEADS_WIDTH, HEAD_HEIGHT, "cd-head", title=f"{part.name} · {kind} · {shape}")
            yield draw_text(HEADS_X + 10, top + 17, shorten(part.name, 12 if notes else 24), "cd-name")
            if notes:
                yield draw_text(HEADS_X + HEADS_WIDTH - 8, top + 17, " · ".join(notes), "cd-small cd-end")
            yield draw_text(HEADS_X + 10, top + 33, shorten(f"{kind} · {shape} · {size}", 33), "cd-small")
            top += HEAD_HEIGHT + GAP


def _draw_lexical(part: Part, rows: list[_Row], translate: Translate) -> Iterator[str]:
    yield draw_box(LINKS_X, HEADER, LINKS_WIDTH, LEXICAL_HEIGHT, "cd-trained cd-lexical")
    name = f"{translate('chain.lexical')} · {format_count(part.parameters)}"
    yield draw_text(LINKS_X + LINKS_WIDTH / 2, HEADER + LEXICAL_HEIGHT / 2, name, "cd-small cd-middle cd-centre")
    centre = LINKS_X + LINKS_WIDTH / 2
    yield draw_line(centre, HEADER + LEXICAL_HEIGHT, centre, rows[0].middle - LINK_HEIGHT / 2, "cd-tap")


def _draw_legend(config: Config, y: float, translate: Translate) -> Iterator[str]:
    x = float(LAYERS_X)
    for kind in ("cd-trained", "cd-frozen", "cd-head"):
        yield draw_box(x, y - 5, 14, 10, kind, radius=2)
        name = translate(f"chain.legend_{kind.removeprefix('cd-')}")
        yield draw_text(x + 20, y, name, "cd-small cd-middle")
        x += 40 + 6.5 * sum(2 if ord(character) > 0x2E80 else 1 for character in name)
    if any(config.get_link(position).detach for position in range(2, config.chain.depth + 1)):
        yield draw_line(x, y, x + 24, y, "cd-state cd-cut")
        yield draw_text(x + 30, y, translate("chain.legend_cut"), "cd-small cd-middle")


def _is_on_backbone(part: Part) -> bool:
    return part.kind == "head" and part.position == 0
