"""Five moments of a time-lapse as one SVG, for a page that runs no script: one below the other, to fit a telephone."""

from __future__ import annotations

import math
from collections.abc import Iterator
from html import escape

from scratchlm.tours.timelapse.frames import Lapse, Moment

MOMENTS = 5
COLUMNS, LINES = 48, 2
"""Characters of a line, and lines of what the model writes."""
LETTER, MARGIN, ROW = 8.0, 16, 148
"""Width of a letter, margin of the picture, and height of a moment, in units of the picture."""
WIDTH = 2 * MARGIN + COLUMNS * LETTER
HEAD = 98
LABELLED = 0.06
"""Least probability whose symbol is written into its part of the bar."""
STYLE = """
svg { --paper: #fff; --ink: #1a1f26; --dim: #56606c; --line: #d8dee5; --panel: #f4f6f8; --heat: #e8590c;
  --mark: #1d5fbf; --on: #fff }
@media (prefers-color-scheme: dark) {
  svg { --paper: #14171c; --ink: #e5e9ee; --dim: #a3adb9; --line: #343c46; --panel: #1d2229;
    --mark: #82b1ff; --on: #14171c }
}
text { font: 12px system-ui, sans-serif; fill: var(--ink) }
.title { font-size: 15px; font-weight: 700 } .head { font-size: 13.5px; font-weight: 700 } .dim { fill: var(--dim) }
.typed { font: 13.3px ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; white-space: pre }
.on { fill: var(--on) }
"""


def chosen(lapse: Lapse) -> list[Moment]:
    """Return the moments of the picture: the first, the last, and others evenly between them."""
    last = len(lapse.frames) - 1
    places = sorted({round(index * last / (MOMENTS - 1)) for index in range(MOMENTS)})
    return [lapse.frames[place] for place in places]


def position(lapse: Lapse) -> int:
    """Return the position of the passage, within a line, whose loss fell most from the first moment to the last."""
    first, last = lapse.frames[0].nats, lapse.frames[-1].nats
    gains = [a - b for a, b in zip(first, last, strict=True)][:COLUMNS]
    return gains.index(max(gains))


def picture(lapse: Lapse) -> str:
    """Return the SVG: for each moment what is written, the loss of held-out bytes, and one prediction."""
    frames, at = chosen(lapse), position(lapse)
    height = HEAD + ROW * len(frames)
    first, last = frames[0], frames[-1]
    caption = (
        f"{lapse.steps:,} steps of training on bytes: loss {first.loss:.2f} to {last.loss:.2f} nats per byte. "
        f"First it writes {first.text[:30]!r}, at the end {last.text[:60]!r}."
    )
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{1.5 * WIDTH:g}" height="{1.5 * height:g}" '
        f'viewBox="0 0 {WIDTH:g} {height}" role="img">',
        f"<title>{escape(caption)}</title>",
        f"<style>{STYLE}</style>",
        f'<rect width="{WIDTH:g}" height="{height}" rx="10" fill="var(--paper)"/>',
        _words(MARGIN, 28, "title", "The birth of a language model"),
        _words(MARGIN, 48, "dim", f"{lapse.parameters:,} parameters learn to predict the next byte."),
        _words(MARGIN, 66, "dim", "What it writes; held-out text, coloured where unexpected;"),
        _words(MARGIN, 82, "dim", "what it expects in the box (the true byte is blue)."),
    ]
    for index, frame in enumerate(frames):
        parts += _moment(lapse, frame, HEAD + ROW * index, at)
    return "\n".join([*parts, "</svg>\n"])


def _moment(lapse: Lapse, frame: Moment, top: float, at: int) -> Iterator[str]:
    """Draw one moment from `top` downwards."""
    yield f'<line x1="{MARGIN}" x2="{WIDTH - MARGIN:g}" y1="{top}" y2="{top}" stroke="var(--line)"/>'
    yield _words(MARGIN, top + 19, "head", f"step {frame.step:,}")
    read = f"loss {frame.loss:.2f} nats per byte"
    yield _words(WIDTH - MARGIN, top + 19, "dim", read, "end")
    wanted = COLUMNS * LINES
    text = (lapse.prompt + frame.text)[:wanted]
    lines = [text[start : start + COLUMNS] for start in range(0, len(text), COLUMNS)]
    for index, line in enumerate(lines):
        yield _typed(MARGIN, top + 41 + 18 * index, line)
    yield from _passage(lapse, frame, top + 70, at)
    yield from _odds(lapse, frame, top + 102, at)


def _passage(lapse: Lapse, frame: Moment, top: float, at: int) -> Iterator[str]:
    """Draw the beginning of the held-out passage, each byte on a ground as dark as its loss."""
    most = math.log(len(lapse.symbols))
    for place, nats in enumerate(frame.nats[:COLUMNS]):
        opacity = 0.7 * min(1.0, nats / most)
        x = MARGIN + LETTER * place
        yield _box(x, top, LETTER, 18, f'fill="var(--heat)" fill-opacity="{opacity:.2f}"')
    text = "".join(_letter(lapse.symbols[id]) for id in lapse.passage[:COLUMNS])
    yield _typed(MARGIN, top + 13.5, text)
    x = MARGIN + LETTER * at
    yield _box(x, top, LETTER, 18, 'fill="none" stroke="var(--ink)" stroke-width="1.5"')


def _odds(lapse: Lapse, frame: Moment, top: float, at: int) -> Iterator[str]:
    """Draw the probabilities of the next byte at one position as parts of one bar, the most probable first."""
    x, whole, right = float(MARGIN), COLUMNS * LETTER, lapse.passage[at]
    yield _box(MARGIN, top, whole, 20, 'rx="3" fill="var(--panel)" stroke="var(--line)"')
    for id, part in zip(frame.top[at], frame.probabilities[at], strict=True):
        width, colour = part * whole, "var(--mark)" if id == right else "var(--dim)"
        fill = 1.0 if id == right else 0.55
        width_shown = round(max(width - 0.8, 0.2), 2)
        yield _box(round(x, 2), top, width_shown, 20, f'fill="{colour}" fill-opacity="{fill}"')
        if part >= LABELLED:
            kind = "typed on" if id == right else "typed"
            yield _words(x + width / 2, top + 14.5, kind, lapse.symbols[id], "middle")
        x += width


def _box(x: float, y: float, width: float, height: float, kind: str) -> str:
    return f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" {kind}/>'


def _letter(symbol: str) -> str:
    """Return a symbol as one letter of a text."""
    return " " if symbol == "\N{OPEN BOX}" else symbol if len(symbol) == 1 else "\N{WHITE SQUARE}"


def _typed(x: float, y: float, text: str) -> str:
    """Write a line whose letters all have the same width, whatever font the reader has."""
    length = f'textLength="{LETTER * len(text):g}" lengthAdjust="spacingAndGlyphs"'
    return f'<text class="typed" x="{x:g}" y="{y:g}" xml:space="preserve" {length}>{_clean(text)}</text>'


def _words(x: float, y: float, kind: str, text: str, anchor: str = "start") -> str:
    place = "" if anchor == "start" else f' text-anchor="{anchor}"'
    return f'<text class="{kind}" x="{x:g}" y="{y:g}"{place}>{_clean(text)}</text>'


def _clean(text: str) -> str:
    """Return text as XML can hold it."""
    return escape("".join(letter if letter.isprintable() else "\N{WHITE SQUARE}" for letter in text))
