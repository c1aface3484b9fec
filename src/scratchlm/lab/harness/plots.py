"""Curves of a result as SVG, for pages without scripts; the only module that draws with matplotlib."""

from __future__ import annotations

import io
import json
from dataclasses import asdict
from textwrap import fill
from typing import Any

from scratchlm.lab.harness.labels import LABELS
from scratchlm.lab.harness.outcome import Curves

COLOURS = ["1b6ca8", "c8553d", "4c8c4a", "8a5fb0", "b8860b", "5b6770", "d27d9a", "2a9d8f"]
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


def as_svg(curves: Curves) -> str:
    """Draw curves with axes, ticks and a legend, on white, so that a dark page shows them too.

    Needs matplotlib, of the extras `bench` and `test`; one version of it draws the same bytes for the same curves.
    The file's description holds the curves as JSON.
    """
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.5, 4), layout="constrained")
        axes = figure.subplots()
        for name, (x, y) in curves.lines.items():
            axes.plot(x, y, label=fill(LABELS.get(name, name), 36))
        axes.set(title=fill(curves.title, 60), xlabel=curves.x, ylabel=curves.y)
        if curves.logarithmic:
            axes.set_xscale("log")
            places, labels = LogLocator(subs=(1, 2, 5)), EngFormatter(sep="")
            axes.xaxis.set(major_locator=places, major_formatter=labels, minor_formatter=NullFormatter())
        else:
            whole = all(float(place).is_integer() for x, _ in curves.lines.values() for place in x)
            axes.locator_params(axis="x", integer=whole)
        figure.legend(loc="outside right upper", frameon=False)
        drawn = io.StringIO()
        described = {"Date": None, "Creator": None, "Description": json.dumps(asdict(curves))}
        figure.savefig(drawn, format="svg", metadata=described)
    return drawn.getvalue()
