"""Draw the plot and the table of docs/benchmarks.md, and the log's table of parts, from the results."""

from __future__ import annotations

import math
import statistics
from pathlib import Path
from typing import Any

from bench.store import read, write_between_marks

from scratchlm.base.files import write_text

ROOT = Path(__file__).parent.parent.parent
PLOT, PAGE, LOG = ROOT / "docs" / "learning.svg", ROOT / "docs" / "benchmarks.md", ROOT / "bench" / "LOG.md"
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 680, 390, 50, 20, 78, 45
COLOURS = ("#2f6db4", "#2f9e68", "#b4442f")


def plot(result: dict[str, Any]) -> str:
    """Return an SVG: a curve for each contender, its median run; seconds on a logarithmic axis."""
    curves = {}
    for name, runs in result["runs"].items():
        runs = sorted(runs, key=lambda run: run["loss"])
        curves[name] = [point for point in runs[len(runs) // 2]["curve"] if point[0] > 0]
    points = [point for curve in curves.values() for point in curve]
    first, last = min(p[0] for p in points), max(p[0] for p in points)
    low, high = 1.4, max(2.4, 0.1 * math.ceil(10 * min(2.6, max(p[1] for p in points))))

    def x(seconds: float) -> float:
        share = math.log(seconds / first) / math.log(last / first)
        return LEFT + (WIDTH - LEFT - RIGHT) * share

    def y(loss: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (high - min(loss, high)) / (high - low)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        f'font-size="12"><rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        f'<path d="M{LEFT},{TOP}V{HEIGHT - BOTTOM}H{WIDTH - RIGHT}" fill="none" stroke="#555"/>',
        f'<text x="{LEFT}" y="{TOP - 12}">nats a character, held-out Shakespeare</text>',
        f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 8}" text-anchor="end">seconds of training on two cores</text>',
    ]
    ticks = [seconds for seconds in (1, 2, 5, 10, 20, 50, 100, 200, 400) if first <= seconds <= last]
    under = HEIGHT - BOTTOM + 16
    parts += [f'<text x="{x(seconds):.0f}" y="{under}" text-anchor="middle">{seconds}</text>' for seconds in ticks]
    for tenth in range(14, round(10 * high) + 1, 2):
        level = y(tenth / 10)
        parts.append(f'<text x="{LEFT - 8}" y="{level + 4:.0f}" text-anchor="end">{tenth / 10:.1f}</text>')
        parts.append(f'<path d="M{LEFT},{level:.0f}H{WIDTH - RIGHT}" stroke="#ddd"/>')
    for number, (name, curve) in enumerate(curves.items()):
        colour, line = COLOURS[number % len(COLOURS)], " ".join(f"{x(s):.1f},{y(v):.1f}" for s, v in curve)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x(s):.1f}" cy="{y(v):.1f}" r="3" fill="{colour}"/>' for s, v in curve]
        parts.append(
            f'<text x="{WIDTH - RIGHT}" y="{18 + 18 * number}" text-anchor="end" fill="{colour}">{name}: '
            f"{curve[-1][1]:.3f} after {curve[-1][0]:.0f} s</text>"
        )
    return "\n".join(parts) + "\n</svg>\n"


def table() -> list[str]:
    """Return the rows of the page: what, measured here, baseline."""
    rows = ["| what | measured | baseline |", "|---|---|---|"]
    for name, of in (
        ("shakespeare", _characters),
        ("throughput", _throughput),
        ("books", _books),
        ("grammar", _grammar),
    ):
        if (result := read(f"learning/{name}")) is not None:
            rows += [f"| {' | '.join(cells)} |" for cells in of(result)]
    return rows


def _characters(result: dict[str, Any]) -> list[tuple[str, str, str]]:
    medians, seeds = result["medians"], len(next(iter(result["runs"].values())))
    peer = medians.get("nanoGPT's recipe in transformers")
    beside = (
        f"nanoGPT's recipe for a CPU, in transformers: {peer['loss']:.3f} after {peer['seconds']:.0f} s" if peer else ""
    )
    rows = []
    for name, bound in result["bounds"].items():
        ours, under = medians[name], _first_under(result["runs"][name], bound)
        cell = f"{ours['loss']:.3f} nats after {ours['seconds']:.{0 if ours['seconds'] > 60 else 1}f} s"
        cell += f"; under {bound} after {under:.1f} s" if under is not None else f"; {bound} is not reached"
        rows.append((f"characters of Shakespeare, `{name}`, {_seeds(seeds)}", cell, beside))
    return rows


def _first_under(runs: list[dict[str, Any]], bound: float) -> float | None:
    """Return the median over seeds of the seconds to the first look below `bound`, where most runs get there."""
    reached = [next((seconds for seconds, loss in run["curve"] if loss <= bound), math.inf) for run in runs]
    middle = statistics.median(reached)
    return None if math.isinf(middle) else middle


def _seeds(count: int) -> str:
    return "one seed" if count == 1 else f"median of {count} seeds"


def _throughput(result: dict[str, Any]) -> list[tuple[str, str, str]]:
    speeds, ratio = result["tokens_per_second"], result["ratio_to_best_peer"]
    others = ", ".join(f"{name} {speed:.0f}" for name, speed in speeds.items() if name != "ours")
    cell = f"{speeds['ours']:.0f} tokens/s" + (f", {ratio:.2f} times the best of the others" if ratio else "")
    return [("training GPT-2 124M in bf16, 4 rows of 512", cell, f"{others} tokens/s" if others else "")]


def _books(result: dict[str, Any]) -> list[tuple[str, str, str]]:
    medians, seeds = result["medians"], len(next(iter(result["runs"].values())))
    adam = medians["plain AdamW"]
    beside = f"`default` with plain AdamW: {adam['bits_per_byte']:.3f} after {adam['seconds']:.0f} s"
    return [
        (
            f"nine million words of books, `{name.split(',')[0]}`, {_seeds(seeds)}",
            f"{found['bits_per_byte']:.3f} bits per byte after {found['seconds']:.0f} s",
            beside,
        )
        for name, found in medians.items()
        if name != "plain AdamW"
    ]


def _grammar(result: dict[str, Any]) -> list[tuple[str, str, str]]:
    cell = f"{result['scores']['all']:.1f}% after {result['seconds'] / 60:.0f} minutes"
    baseline = f"BabyLM 2025's GPT-2-small baseline on ten million words: {result['baseline']}%"
    return [(f"BLiMP's {len(result['sets'])} sets, nine million words of books, one seed", cell, baseline)]


def parts_table(result: dict[str, Any]) -> list[str]:
    """Return the log's rows: each part, what it gains, and the milliseconds of a step with it or without."""
    recipe, seeds = result["recipe"], len(result["recipe"]["losses"])
    rows = [
        f"| part ({seeds} seeds) | in the recipe | gain, nats | smallest, largest | ms a step |",
        "|---|---|---|---|---|",
    ]
    for part in sorted(result["parts"], key=lambda part: -part["gain"]):
        sign = 1 if part["taken"] else -1
        gains = [sign * (other - own) for own, other in zip(recipe["losses"], part["losses"], strict=True)]
        here, there = ("yes", "without it") if part["taken"] else ("no", "with it")
        rows.append(
            f"| {part['part']} | {here} | {part['gain']:+.4f} | {min(gains):+.4f}, {max(gains):+.4f} "
            f"| {part['ms_a_step']:.0f} {there} |"
        )
    return [*rows, f"| the recipe | | | | {recipe['ms_a_step']:.0f} |"]


def main() -> None:
    """Write the plot, and the tables between the marks."""
    if (shakespeare := read("learning/shakespeare")) is not None:
        write_text(PLOT, plot(shakespeare))
    write_between_marks(PAGE, "bench/learning", table())
    if (parts := read("learning/parts")) is not None:
        write_between_marks(LOG, "bench/learning", parts_table(parts))


if __name__ == "__main__":
    main()
