"""Draw the README's figure from the folder of a quickstart: bits per byte on held-out text against steps, as SVG.

python bench/figure.py quickstart docs/quickstart.svg
"""

from __future__ import annotations

import sys
from pathlib import Path

from scratchlm.base.files import read_json, write_text
from scratchlm.base.runlog import read_log

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 640, 320, 60, 45, 25


def draw(points: list[tuple[int, float]], rival: float) -> str:
    """Return the SVG of a curve with the n-gram model's level across it."""
    last, highest = points[-1][0], max(value for _, value in points)

    def at(step: float, value: float) -> str:
        x = LEFT + (WIDTH - LEFT - 20) * step / last
        y = HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * value / highest
        return f"{x:.1f},{y:.1f}"

    level = at(0, rival).split(",")[1]
    ticks = [value for value in (0.5, 1.0, 1.5, 2.0, 2.5, 3.0) if value <= highest]
    marks = "".join(
        f'<text x="{LEFT - 8}" y="{at(0, value).split(",")[1]}" text-anchor="end" dy="4">{value}</text>'
        for value in ticks
    )
    curve = " ".join(at(step, value) for step, value in points)
    dots = "".join('<circle cx="{}" cy="{}" r="3"/>'.format(*at(*point).split(",")) for point in points)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif">'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>'
        f'<path d="M{LEFT},{TOP}V{HEIGHT - BOTTOM}H{WIDTH - 20}" fill="none" stroke="#555"/>{marks}'
        f'<path d="M{LEFT},{level}H{WIDTH - 20}" stroke="#b4442f" stroke-dasharray="6 4"/>'
        f'<text x="{WIDTH - 24}" y="{float(level) - 7:.1f}" text-anchor="end">5-gram model, {rival:.2f}</text>'
        f'<polyline points="{curve}" fill="none" stroke="#4678b2" stroke-width="2"/><g fill="#4678b2">{dots}</g>'
        f'<text x="{WIDTH - 24}" y="{TOP + 5}" text-anchor="end">bits per byte on held-out text</text>'
        f'<text x="{WIDTH / 2}" y="{HEIGHT - 12}" text-anchor="middle">optimizer steps, {last} in all</text></svg>\n'
    )


def main() -> None:
    """Read the folder named first and write the file named second."""
    folder, out = Path(sys.argv[1]), Path(sys.argv[2])
    points = [(r["step"], r["bits_per_byte"]) for r in read_log(folder / "metrics.jsonl") if r["kind"] == "evaluation"]
    write_text(out, draw(points, read_json(folder / "quickstart.json")["ngram_bits_per_byte"]))


if __name__ == "__main__":
    main()
