"""Draw the README's moving picture from the folder of a quickstart: its loss falls while its samples become sentences.

python bench/moving.py quickstart docs/quickstart.svg

An SVG that moves by CSS alone. Where motion is not wanted, it shows the end. Colours follow the reader's light or dark.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

from scratchlm.base.files import read_json, write_text
from scratchlm.base.runfolder import LOG_FILE, Evaluation, Sample, read_log

SECONDS, HELD = 14.0, 0.2
"""Length of the film, and the fraction of it that shows the end."""
WIDTH, HEIGHT, LEFT, RIGHT, TOP, FLOOR = 760, 388, 52, 16, 34, 236
COLUMNS, LINES = 92, 4
"""Characters of a line of a sample, and its lines."""
STYLE = """
svg { --ink: #1f2328; --soft: #59636e; --line: #d1d9e0; --curve: #1b6ca8; --rival: #c8553d; --box: #f6f8fa }
text { font: 13px system-ui, sans-serif; fill: var(--ink) }
.soft { fill: var(--soft); font-size: 12px } .axis { stroke: var(--line) } .box { fill: var(--box) }
.curve { fill: none; stroke: var(--curve); stroke-width: 2.5; stroke-dasharray: 1 }
.curve { animation: draw SECONDSs linear infinite }
.rival { stroke: var(--rival); stroke-width: 1.5; stroke-dasharray: 5 4 }
.sample { visibility: hidden } .sample text, .sample tspan { font-family: ui-monospace, monospace; font-size: 12.5px }
@keyframes draw { 0% { stroke-dashoffset: 1 } MOVED%, 100% { stroke-dashoffset: 0 } }
@media (prefers-color-scheme: dark) {
  svg { --ink: #f0f6fc; --soft: #9198a1; --line: #3d444d; --curve: #58a6ff; --rival: #f0883e; --box: #151b23 }
}
@media (prefers-reduced-motion: reduce) {
  .curve, .sample { animation: none !important } .sample.last { visibility: visible }
}
"""


def film(looks: Sequence[tuple[int, float]], samples: Sequence[tuple[int, str]], ngram: float) -> str:
    """Return the SVG: `looks` are steps with bits per byte, `samples` steps with text, `ngram` the 5-gram's bits."""
    last, most = looks[-1][0], max(bits for _, bits in looks)

    def place(step: float, bits: float) -> tuple[float, float]:
        return LEFT + (WIDTH - LEFT - RIGHT) * step / last, FLOOR - (FLOOR - TOP) * bits / most

    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*look) for look in looks))
    level = place(0, ngram)[1]
    style = STYLE.replace("SECONDS", f"{SECONDS:g}").replace("MOVED", f"{100 * (1 - HELD):g}")
    begins = [(1 - HELD) * step / last for step, _ in samples]
    shown = list(zip(begins, [*begins[1:], 1.0], samples, strict=True))
    frames = "".join(_frame(index, begin, end) for index, (begin, end, _) in enumerate(shown))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
        f"<title>Bits per byte fall from {looks[0][1]:.2f} to {looks[-1][1]:.2f}; 5-gram model {ngram:.2f}</title>",
        f"<style>{style}{frames}</style>",
        f'<text class="soft" x="{LEFT}" y="18">bits per byte on held-out text, over {last:,} steps of training</text>',
        *_axes(most, place(0, most), last),
        f'<line class="rival" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{level:.1f}" y2="{level:.1f}"/>',
        f'<text class="soft" x="{WIDTH - RIGHT}" y="{level - 6:.1f}" text-anchor="end">5-gram: {ngram:.2f}</text>',
        f'<polyline class="curve" pathLength="1" points="{points}"/>',
        f'<rect class="box" x="{LEFT - 36}" y="{FLOOR + 34}" width="{WIDTH - LEFT + 36 - RIGHT}" height="104" rx="6"/>',
        *(_sample(index, index == len(samples) - 1, *sample) for index, (_, _, sample) in enumerate(shown)),
        "</svg>\n",
    ]
    return "\n".join(parts)


def _frame(index: int, begin: float, end: float) -> str:
    """Return the rules that show a sample from one moment to the next."""
    states = [(0.0, begin == 0), (begin, True), (end, end == 1)]
    keys = " ".join(f"{100 * at:.1f}% {{ visibility: {'visible' if seen else 'hidden'} }}" for at, seen in states)
    return f"#s{index} {{ animation: k{index} {SECONDS:g}s step-end infinite }}\n@keyframes k{index} {{ {keys} }}\n"


def _axes(most: float, corner: tuple[float, float], last: int) -> Iterator[str]:
    for bits in range(int(most) + 1):
        y = FLOOR - (FLOOR - corner[1]) * bits / most
        yield f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text class="soft" x="{LEFT - 10}" y="{y + 4:.1f}" text-anchor="end">{bits}</text>'
    yield f'<text class="soft" x="{LEFT}" y="{FLOOR + 18}">step 0</text>'
    yield f'<text class="soft" x="{WIDTH - RIGHT}" y="{FLOOR + 18}" text-anchor="end">{last:,}</text>'


def _sample(index: int, last: bool, step: int, text: str) -> str:
    """Draw a sample as lines of text; what is no text is shown as a box."""
    plain = "".join(letter if letter.isprintable() else "\N{WHITE SQUARE}" for letter in " ".join(text.split()))
    lines = textwrap.wrap(plain, COLUMNS, max_lines=LINES, placeholder=" \N{HORIZONTAL ELLIPSIS}")
    x, y = LEFT - 22, FLOOR + 56
    drawn = "".join(
        f'<tspan x="{x}" dy="{22 if i == 0 else 18}">{escape(line)}</tspan>' for i, line in enumerate(lines)
    )
    head = f'<text class="soft" x="{x}" y="{y}">written after {step:,} steps</text>'
    return f'<g id="s{index}" class="sample{" last" if last else ""}">{head}<text y="{y}">{drawn}</text></g>'


def main() -> None:
    """Read the folder named first and write the file named second."""
    folder, out = Path(sys.argv[1]), Path(sys.argv[2])
    records = list(read_log(folder / LOG_FILE))
    looks = [(r.step, r.bits_per_byte) for r in records if isinstance(r, Evaluation) and r.bits_per_byte is not None]
    samples = [(r.step, r.text) for r in records if isinstance(r, Sample)]
    write_text(out, film(looks, samples, read_json(folder / "quickstart.json")["ngram_bits_per_byte"]))


if __name__ == "__main__":
    main()
