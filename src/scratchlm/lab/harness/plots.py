"""Figures of a result as SVG, for pages without scripts: curves with intervals, and rows with a dot for each seed."""

from __future__ import annotations

import io
import json
from dataclasses import asdict
from textwrap import fill
from typing import Any

from scratchlm.lab.harness.outcome import Curves, Dots

COLOURS = ["1b6ca8", "c8553d", "4c8c4a", "8a5fb0", "b8860b", "5b6770", "d27d9a", "2a9d8f"]
FEW = 5
"""Most bands that are drawn in full; more of them would hide the lines."""
STYLE: dict[Any, Any] = {
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.prop_cycle": f"cycler('color', {COLOURS})",
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.size": 9,
    "grid.color": "#ddd",
    "lines.marker": "o",
    "lines.markersize": 3.5,
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "scratchlm",  # names inside the file are the same each time
}


def as_svg(drawn: Curves | Dots) -> str:
    """Draw a figure with axes, ticks and a legend, on white, so that a dark page shows it too.

    Needs matplotlib, of the extras `bench` and `test`; one version of it draws the same bytes for the same numbers.
    The file's description holds the numbers as JSON.
    """
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        if isinstance(drawn, Curves):
            figure = Figure(figsize=(7.5, 4), layout="constrained")
            _curves(figure, drawn)
        else:
            figure = Figure(figsize=(7.5, 1.3 + 0.34 * len(drawn.rows)), layout="constrained")
            _dots(figure, drawn)
        text = io.StringIO()
        described = {"Date": None, "Creator": None, "Description": json.dumps(asdict(drawn))}
        figure.savefig(text, format="svg", metadata=described)
    return text.getvalue()


def _curves(figure: Any, curves: Curves) -> None:
    """Draw lines with their intervals as bands, single points with bars, and levels such as chance as dashed lines."""
    from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

    axes = figure.subplots()
    faint = 0.15 if len(curves.bands) <= FEW else 0.06
    for number, (name, (x, y)) in enumerate(curves.lines.items()):
        style = "-" if number < len(COLOURS) else "--"  # the colours begin again
        line = axes.plot(x, y, linestyle=style, label=fill(name, 36))[0]
        if name in curves.bands and len(x) == 1:
            axes.vlines(x, *curves.bands[name], color=line.get_color(), alpha=0.5)
        elif name in curves.bands:
            axes.fill_between(x, *curves.bands[name], color=line.get_color(), alpha=faint, linewidth=0)
    for number, (name, height) in enumerate(curves.levels.items()):
        axes.axhline(height, label=fill(name, 36), **_level(number))
    axes.set(title=fill(curves.title, 60), xlabel=curves.x, ylabel=curves.y)
    if curves.logarithmic:
        axes.set_xscale("log")
        places, labels = LogLocator(subs=(1, 2, 5)), EngFormatter(sep="")
        axes.xaxis.set(major_locator=places, major_formatter=labels, minor_formatter=NullFormatter())
    else:
        integers = all(float(place).is_integer() for x, _ in curves.lines.values() for place in x)
        axes.locator_params(axis="x", integer=integers)
    figure.legend(loc="outside right upper", frameon=False)


def _dots(figure: Any, dots: Dots) -> None:
    """Draw each value as a bar over its interval, and each seed as a dot above the bar's middle line."""
    axes = figure.subplots()
    labels = [fill(row.label, 34) for row in dots.rows]
    for at, row in enumerate(dots.rows):
        low, high = row.value.ends
        axes.plot([low, high], [at, at], color=f"#{COLOURS[0]}", linewidth=5, alpha=0.25, marker="")
        axes.plot([row.value.value], [at], color=f"#{COLOURS[0]}", marker="|", markersize=12, markeredgewidth=2)
        seeds = row.value.seeds
        axes.plot(seeds, [at - 0.28] * len(seeds), color=f"#{COLOURS[1]}", linestyle="", marker="o", alpha=0.7)
    for number, (name, place) in enumerate(dots.levels.items()):
        axes.axvline(place, label=name, **_level(number))
    axes.set(title=fill(dots.title, 60), xlabel=dots.x, yticks=range(len(labels)), yticklabels=labels)
    axes.set_ylim(len(labels) - 0.5, -0.6)  # the first row is the topmost
    axes.grid(visible=True, axis="x")
    axes.grid(visible=False, axis="y")
    if dots.levels:
        figure.legend(loc="outside lower center", frameon=False)


def _level(number: int) -> dict[str, Any]:
    styles = ("--", ":", "-.")
    return {"color": "#555", "linestyle": styles[number % len(styles)], "linewidth": 1.2, "marker": ""}
