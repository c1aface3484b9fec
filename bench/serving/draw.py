"""Draw the figure of docs/decoding.md from the results of `decoding`: tokens a second of one text, step by step.

python -m bench.serving.draw
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.store import read

from scratchlm.base.files import write_text
from scratchlm.lab.harness.outcome import Dot, Dots, Value
from scratchlm.lab.harness.plots import as_svg

FIGURE = Path(__file__).parents[2] / "docs" / "decoding.svg"
BEFORE, AFTER = "serving/decoding", "serving/decoding-integers-vnni"
STEPS = (
    ("transformers, fp32", BEFORE, "transformers, fp32"),
    ("compiled step, fp32", BEFORE, "scratchlm, fp32"),
    ("weights in int8", BEFORE, "scratchlm, int8"),
    ("weights in int4", BEFORE, "scratchlm, int4"),
    ("integer products, int8", AFTER, "scratchlm, int8"),
    ("integer products, int4", AFTER, "scratchlm, int4"),
    ("llama.cpp, Q4_1, beside the first", BEFORE, "llama.cpp, Q4_1"),
    ("llama.cpp, Q4_1, beside the last", AFTER, "llama.cpp, Q4_1"),
)
"""What is shown, and where it was measured: two days, so llama.cpp stands there for each."""


def figure() -> str:
    """Return the SVG: a row for each step, its median and quartiles."""
    dots = []
    for label, place, name in STEPS:
        result: dict[str, Any] = read(place) or {}
        speed = result["contenders"][name]["written_per_second"]
        dots.append(Dot(label, Value(speed["median"], speed["low"], speed["high"])))
    return as_svg(Dots("", "tokens a second", dots))


if __name__ == "__main__":
    write_text(FIGURE, figure())
