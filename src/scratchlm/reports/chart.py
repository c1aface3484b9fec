"""Line charts as data: places in percent of the plot, which `parts.jinja` draws as HTML and inline SVG."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

Curve = tuple[Sequence[float | None], Sequence[float | None]]
"""Values along x and along y; None or NaN where nothing was measured."""
LABEL, LETTERS = 1.0, 22
"""Height of a label's line in rem, and about how many letters fit it."""
DOTS = 30
"""Most points of a curve that are drawn one by one."""


@dataclass(frozen=True)
class Line:
    """A curve to be drawn."""

    name: str
    pieces: list[str]
    """Points of SVG polylines, one for each stretch without a gap."""
    points: list[tuple[float, float, float, float]]
    """Left and top in percent of the plot, x and y, of each point."""
    label: float
    """Top of the label."""

    @property
    def dots(self) -> list[tuple[float, float, float, float]]:
        """Points to draw one by one: none of a long curve."""
        return self.points if len(self.points) <= DOTS else []


@dataclass(frozen=True)
class Chart:
    """A chart to be drawn."""

    title: str
    x: str
    y: str
    lines: list[Line]
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    height: float
    """In rem."""


def chart(title: str, x: str, y: str, curves: Mapping[str, Curve], *, logarithmic: bool = False) -> Chart:
    """Lay out named curves; `logarithmic` spaces x by its logarithm and leaves out what is not above 0."""
    known = {name: _known(curve, logarithmic) for name, curve in curves.items()}
    drawn = [point for points in known.values() for point in points if point is not None]
    if not drawn:
        return Chart(title, x, y, [], [], [], 0.0)
    left, right = _widened([math.log10(px) if logarithmic else px for px, _ in drawn])
    y_ticks = ticks(*_widened([py for _, py in drawn]))
    bottom, top = y_ticks[0], y_ticks[-1]

    def along(value: float) -> float:
        place = math.log10(value) if logarithmic else value
        return round(100 * (place - left) / (right - left), 2)

    def down(value: float) -> float:
        return round(100 * (top - value) / (top - bottom), 2)

    heights = [0.3 + LABEL * math.ceil(len(name) / LETTERS) for name, points in known.items() if any(points)]
    height = max(15.0, sum(heights))
    placed = {
        name: [None if p is None else (along(p[0]), down(p[1]), _short(p[0]), _short(p[1])) for p in points]
        for name, points in known.items()
        if any(points)
    }
    ends = [next(point for point in reversed(points) if point)[1] for points in placed.values()]
    labels = apart(ends, [100 * each / height for each in heights])
    lines = [
        Line(name, _pieces(points), [point for point in points if point], label)
        for (name, points), label in zip(placed.items(), labels, strict=True)
    ]
    x_ticks = _decades(left, right) if logarithmic else [t for t in ticks(left, right, 6) if left <= t <= right]
    across = list(zip(map(along, x_ticks), shown(x_ticks) if not logarithmic else map(_power, x_ticks), strict=True))
    return Chart(title, x, y, lines, across, list(zip(map(down, y_ticks), shown(y_ticks), strict=True)), height)


class Row(NamedTuple):
    """A row of a figure of values: places in percent of its width."""

    label: str
    at: float
    low: float
    high: float
    seeds: list[float]


def rows(
    values: Sequence[tuple[str, float, float, float, Sequence[float]]],
) -> tuple[list[Row], list[tuple[float, str]]]:
    """Lay out values with their intervals and seeds, one row each; return the rows and the ticks below them.

    Each is a label, the value, the ends of its interval, and the values of its seeds.
    """
    if not values:
        return [], []
    below = ticks(*_widened([end for _, _, low, high, seeds in values for end in (low, high, *seeds)]))
    left, width = below[0], below[-1] - below[0]

    def along(value: float) -> float:
        return round(100 * (value - left) / width, 2)

    lines = [
        Row(label, along(value), along(low), along(high), [along(seed) for seed in seeds])
        for label, value, low, high, seeds in values
    ]
    return lines, list(zip(map(along, below), shown(below), strict=True))


def ticks(low: float, high: float, wanted: int = 4) -> list[float]:
    """Return evenly spaced round numbers from at most `low` to at least `high`, about `wanted` steps of them."""
    rough = (high - low) / wanted
    unit = 10.0 ** math.floor(math.log10(rough))
    step = unit * next(factor for factor in (1, 2, 2.5, 5, 10) if factor * unit >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    digits = max(0, 1 - math.floor(math.log10(step)))
    return [round(index * step, digits) for index in range(first, last + 1)]


def shown(values: Sequence[float]) -> list[str]:
    """Return the numbers of an axis in few characters and one unit, such as 0.25, 1,500, 20k or 3M."""
    largest = max(map(abs, values), default=0.0)
    units = (("T", 1e12, 1e12), ("B", 1e9, 1e9), ("M", 1e6, 1e6), ("k", 1e3, 1e4))
    unit, size = next(((unit, size) for unit, size, least in units if largest >= least), ("", 1.0))
    return [f"{value / size:,g}{unit if value else ''}" for value in values]


def apart(tops: Sequence[float], heights: Sequence[float]) -> list[float]:
    """Move the middles of labels apart, so that none covers another where 0 to 100 has room; their order stays."""
    order = sorted(range(len(tops)), key=lambda index: tops[index])
    places = list(tops)
    for before, index in itertools.pairwise(order):
        places[index] = max(places[index], places[before] + (heights[before] + heights[index]) / 2)
    for index, after in zip(reversed(order), [None, *reversed(order)], strict=False):
        least = 100.0 if after is None else places[after] - (heights[after] + heights[index]) / 2
        places[index] = round(min(places[index], least), 2)
    return places


def _known(curve: Curve, logarithmic: bool) -> list[tuple[float, float] | None]:
    """Return the points of a curve as floats, None where there is none."""
    return [
        (float(x), float(y)) if _number(x) and _number(y) and not (logarithmic and float(x) <= 0) else None  # type: ignore[arg-type]
        for x, y in zip(*curve, strict=True)
    ]


def _number(value: object) -> bool:
    try:
        return value is not None and math.isfinite(value)  # type: ignore[arg-type]
    except TypeError:
        return False


def _widened(values: Sequence[float]) -> tuple[float, float]:
    """Return the range of values, never an empty one."""
    low, high = min(values), max(values)
    margin = 0.0 if high - low > 1e-9 * max(abs(low), abs(high), 1e-9) else abs(low) / 10 or 1.0
    return low - margin, high + margin


def _decades(left: float, right: float) -> list[float]:
    """Return the powers of ten between two logarithms; with less than two of them, the ends of the axis."""
    powers = [10.0**power for power in range(math.ceil(left - 1e-9), math.floor(right + 1e-9) + 1)]
    return powers if len(powers) > 1 else [_short(10.0**left, 2), _short(10.0**right, 2)]


def _power(value: float) -> str:
    return shown([value])[0]


def _pieces(points: Iterable[tuple[float, float, float, float] | None]) -> list[str]:
    pieces: list[list[str]] = [[]]
    for point in points:
        if point is None:
            pieces.append([])
        else:
            pieces[-1].append(f"{point[0]:g},{point[1]:g}")
    return [" ".join(piece) for piece in pieces if piece]


def _short(value: float, digits: int = 6) -> float:
    return float(f"{value:.{digits}g}")
