"""A picture of every attention head of a model on one text, as an SVG without scripts: a tile a head, some enlarged."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from jaxtyping import Float
from torch import Tensor

from scratchlm.inspection.heads import Head
from scratchlm.inspection.patterns import FIRST, INDUCTION, PATTERNS, PREVIOUS, SAME, SPECIFIC

LEVELS, LEAST = 5, 0.05
"""Steps of darkness, and the least weight that is drawn."""
MARGIN, GAP = 16, 24
CELL, LARGE = 2, 9
"""Side of a cell, which is one weight, in a tile and in an enlarged head."""
SPACE, LABELS = 6, 58
"""Space between tiles, and room for the tokens beside an enlarged head."""
ROWS = 15
"""Layers in a block of tiles."""
STYLE = """
svg { --paper: #fff; --ink: #1a1f26; --dim: #56606c; --tile: #f4f6f8; --none: #1a1f26; --first: #6b7c8f;
  --previous: #c2410c; --same: #0f7a3d; --induction: #7a3db8 }
@media (prefers-color-scheme: dark) {
  svg { --paper: #14171c; --ink: #e5e9ee; --dim: #a3adb9; --tile: #1d2229; --none: #e5e9ee; --first: #8b9bad;
    --previous: #ff9d57; --same: #6fd39b; --induction: #cba6ff }
}
text { font: 11px system-ui, sans-serif; fill: var(--ink) }
.title { font-size: 17px; font-weight: 700 } .head { font-size: 12px; font-weight: 700 } .dim { fill: var(--dim) }
.token { font: 9.5px ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace }
path { fill: none; stroke-width: 1 }
"""
COLOURS = {FIRST: "first", PREVIOUS: "previous", SAME: "same", INDUCTION: "induction"}


@dataclass(frozen=True)
class Enlarged:
    """A head that is drawn large, with the tokens at its sides."""

    head: Head
    pattern: str
    caption: str
    """A line about it."""


def attention_picture(
    maps: Sequence[Float[Tensor, "H T T"]], tokens: Sequence[str], names: Mapping[Head, str],
    counts: Mapping[str, int], enlarged: Sequence[Enlarged], title: str, lines: Sequence[str],
) -> str:  # fmt: skip
    """Return the SVG: `maps` are the attention weights of each layer, query by key, whose rows sum to 1.

    `names` colours heads by their pattern; `counts` are the heads of each pattern, with those that are named after a
    rarer one. Under the title stand `lines`, the enlarged heads, the legend, and a tile for every head, its layer at
    the left and its number above, both from 1.
    """
    layers, heads, length = len(maps), maps[0].size(0), len(tokens)
    tile = CELL * length + SPACE
    blocks = math.ceil(layers / ROWS)
    block = 28 + heads * tile
    wide = blocks * block + (blocks - 1) * GAP
    panel = LABELS + LARGE * length + 8
    width = 2 * MARGIN + max(wide, panel * len(enlarged), 680)
    top = 34 + 16 * len(lines) + 14
    middle = top + (34 + LARGE * length + LABELS + 14 if enlarged else 0)
    legend = list(_legend(names, counts, middle))
    under = middle + 18 * len(legend) + 26
    height = under + min(layers, ROWS) * tile + MARGIN
    step = (width - 2 * MARGIN) / max(1, len(enlarged))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" role="img">',
        f"<title>{escape(title)}</title>",
        f"<style>{STYLE}{_levels()}</style>",
        f'<rect width="{width}" height="{height}" rx="10" fill="var(--paper)"/>',
        _text(MARGIN, 30, "title", title),
        *(_text(MARGIN, 50 + 16 * index, "dim", line) for index, line in enumerate(lines)),
    ]
    for index, each in enumerate(enlarged):
        weights = maps[each.head[0]][each.head[1]]
        parts += _large(each, weights, tokens, MARGIN + round(index * step), top)
    parts += legend
    for number in range(blocks):
        first = number * ROWS
        parts += _block(maps, names, range(first, min(first + ROWS, layers)), MARGIN + number * (block + GAP), under)
    return "\n".join([*parts, "</svg>\n"])


def _block(
    maps: Sequence[Float[Tensor, "H T T"]], names: Mapping[Head, str], layers: range, left: int, top: int
) -> Iterator[str]:
    """Draw the tiles of some layers, a row each."""
    heads, length = maps[0].size(0), maps[0].size(-1)
    tile = CELL * length + SPACE
    for head in range(heads):
        x = left + 28 + head * tile + CELL * length / 2
        yield _text(x, top - 6, "dim", f"{'head ' if head == 0 else ''}{head + 1}", "middle")
    for row, layer in enumerate(layers):
        y = top + row * tile
        yield _text(left + 20, y + CELL * length / 2 + 4, "dim", str(layer + 1), "end")
        for head in range(heads):
            yield from _tile(maps[layer][head], (layer, head), names, (left + 28 + head * tile, y), CELL)


def _tile(
    weights: Float[Tensor, "T T"], head: Head, names: Mapping[Head, str], place: tuple[float, float], cell: int
) -> Iterator[str]:
    """Draw one head's weights as cells whose darkness has `LEVELS` steps; below `LEAST` nothing is drawn."""
    colour, side = COLOURS.get(names.get(head, ""), "none"), len(weights)
    edge = 0.35 if colour == "none" else 1.0
    yield (
        f'<g data-head="{head[0] + 1}.{head[1] + 1}" transform="translate({place[0]:g} {place[1]:g}) scale({cell})" '
        f'stroke="var(--{colour})"><rect width="{side}" height="{side}" fill="var(--tile)" stroke-width="{1 / cell:g}" '
        f'stroke-opacity="{edge}"/>'
    )
    for level, cells in _cells(weights).items():
        yield f'<path class="l{level}" d="{cells}"/>'
    yield "</g>"


def _cells(weights: Float[Tensor, "T T"]) -> dict[int, str]:
    """Return for each level the cells that have it, neighbours joined, as a path of horizontal lines."""
    colours: dict[int, str] = {}
    for query, row in enumerate(weights.tolist()):
        levels = [math.ceil(LEVELS * weight - 1e-6) if weight >= LEAST else 0 for weight in row]
        key = 0
        while key < len(levels):
            end = key
            while end < len(levels) and levels[end] == levels[key]:
                end += 1
            if level := min(levels[key], LEVELS):
                colours[level] = f"{colours.get(level, '')}M{key} {query}.5h{end - key}"
            key = end
    return dict(sorted(colours.items()))


def _large(each: Enlarged, weights: Float[Tensor, "T T"], tokens: Sequence[str], left: int, top: int) -> Iterator[str]:
    """Draw a head large: queries at its left, keys below."""
    yield _text(
        left, top + 12, "head", f"head {each.head[0] + 1}.{each.head[1] + 1}: {each.pattern}", colour=each.pattern
    )
    yield _text(left, top + 27, "dim", each.caption)
    x, y = left + LABELS, top + 34
    yield from _tile(weights, each.head, {each.head: each.pattern}, (x, y), LARGE)
    bottom = y + LARGE * len(tokens) + 5
    for index, token in enumerate(tokens):
        middle = LARGE * index + LARGE / 2
        yield _text(x - 4, y + middle + 3.3, "token", token, "end")
        at = f"{x + middle + 3.3:g} {bottom:g}"
        yield f'<text class="token" text-anchor="end" transform="translate({at}) rotate(-90)">{escape(token)}</text>'


def _legend(names: Mapping[Head, str], counts: Mapping[str, int], top: int) -> Iterator[str]:
    """Explain the colours, a line each."""
    entries = [
        (COLOURS[pattern], f"{pattern}: looks at {PATTERNS[pattern]}", pattern) for pattern in reversed(SPECIFIC)
    ]
    for index, (colour, text, pattern) in enumerate([*entries, ("none", "none of these", "")]):
        of, rarer = counts.get(pattern, 0), counts.get(pattern, 0) - sum(name == pattern for name in names.values())
        other = f", {rarer} of them in the colour of a rarer pattern" if rarer else ""
        text += f" ({of} head{'s' if of != 1 else ''}{other})" if pattern else ""
        y = top + 18 * index
        box = f'<rect x="{MARGIN}" y="{y + 2}" width="12" height="12" rx="2" fill="var(--{colour})"/>'
        yield box + _text(MARGIN + 20, y + 12, "", text)


def _levels() -> str:
    return "\n".join(f".l{level} {{ stroke-opacity: {level / LEVELS:g} }}" for level in range(1, LEVELS + 1))


def _text(x: float, y: float, kind: str, text: str, anchor: str = "start", *, colour: str = "") -> str:
    place = "" if anchor == "start" else f' text-anchor="{anchor}"'
    style = f' style="fill:var(--{COLOURS[colour]})"' if colour else ""
    return f'<text class="{kind}" x="{x:g}" y="{y:g}"{place}{style}>{escape(text)}</text>'
