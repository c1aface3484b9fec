"""Curves of a result as SVG, for pages without scripts; the same bytes for the same result."""

from __future__ import annotations

import math
from collections.abc import Sequence
from xml.sax.saxutils import escape

from scratchlm.lab.harness.outcome import Curves

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 640, 360, 64, 200, 36, 48
COLOURS = ("#1b6ca8", "#c8553d", "#4c8c4a", "#8a5fb0", "#b8860b", "#5b6770", "#d27d9a", "#2a9d8f")
"""Told apart in grey too, by their order in the legend and their ends."""


def as_svg(curves: Curves) -> str:
    """Draw curves with axes, ticks and a legend, 640 by 360."""
    places = [place for x, _ in curves.lines.values() for place in x]
    heights = [height for _, y in curves.lines.values() for height in y]
    across = _scale(places, LEFT, WIDTH - RIGHT, curves.logarithmic)
    up = _scale(heights, HEIGHT - BOTTOM, TOP, False)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        _text(LEFT, 20, curves.title, size=min(14, 1040 // max(1, len(curves.title)))),  # a long one is set smaller
    ]
    for height in ticks(min(heights), max(heights)):
        y = up(height)
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>')
        parts.append(_text(LEFT - 6, y + 4, f"{height:g}", anchor="end"))
    marked = _apart(_marks(places, curves.logarithmic), across)
    parts += [_text(across(place), HEIGHT - BOTTOM + 18, _short(place), anchor="middle") for place in marked]
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, curves.x, anchor="middle"))
    middle = (TOP + HEIGHT - BOTTOM) / 2
    parts.append(f'<g transform="translate(14 {middle}) rotate(-90)">{_text(0, 0, curves.y, anchor="middle")}</g>')
    for number, (name, (x, y_values)) in enumerate(curves.lines.items()):
        colour = COLOURS[number % len(COLOURS)]
        points = [(across(a), up(b)) for a, b in zip(x, y_values, strict=True)]
        drawn = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
        parts.append(f'<polyline points="{drawn}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="2.5" fill="{colour}"/>' for a, b in points]
        at = TOP + 10 + 18 * number
        parts.append(f'<rect x="{WIDTH - RIGHT + 12}" y="{at - 9}" width="10" height="10" fill="{colour}"/>')
        parts.append(_text(WIDTH - RIGHT + 28, at, name if len(name) <= 30 else name[:28] + "…", size=11))
    return "\n".join([*parts, "</svg>", ""])


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Return round numbers from `low` to `high`, about so many: 1, 2 or 5 times a power of ten apart."""
    if high <= low:
        return [low]
    raw = (high - low) / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw)
    return [round(step * at, 12) for at in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def _marks(places: Sequence[float], logarithmic: bool) -> list[float]:
    """Return the places that get a number: each of a few, else round ones."""
    if len(set(places)) <= 8:
        return sorted(set(places))
    if not logarithmic:
        return ticks(min(places), max(places))
    return sorted(set(places))[:: math.ceil(len(set(places)) / 6)]


def _apart(places: Sequence[float], across: _Scale) -> list[float]:
    """Leave out numbers that would run into the next: the last stays, then each that is far enough from it."""
    kept: list[float] = []
    for place in reversed(places):
        if not kept or across(kept[-1]) - across(place) >= 40:
            kept.append(place)
    return kept[::-1]


def _scale(values: Sequence[float], start: float, stop: float, logarithmic: bool) -> _Scale:
    bend = math.log if logarithmic and min(values) > 0 else float
    return _Scale(bend(min(values)), bend(max(values)), start, stop, bend is not float)


class _Scale:
    """From values to places on the paper."""

    def __init__(self, low: float, high: float, start: float, stop: float, logarithmic: bool) -> None:
        self.low, self.span = low, (high - low) or 1.0
        self.start, self.stop, self.logarithmic = start, stop, logarithmic

    def __call__(self, value: float) -> float:
        bent = math.log(value) if self.logarithmic else value
        return self.start + (self.stop - self.start) * (bent - self.low) / self.span


def _short(value: float) -> str:
    for size, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            return f"{value / (1e3 if unit == 'k' else size):.3g}{unit}"
    return f"{value:g}"


def _text(x: float, y: float, text: str, *, anchor: str = "start", size: int = 12) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}">{escape(text)}</text>'
