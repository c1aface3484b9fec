"""Draw the README's plot of loss against seconds, and print its table, from the results of the measurements."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from curves import read

from scratchlm.base.files import write_text

PLOT = Path(__file__).parent.parent.parent / "docs" / "learning.svg"
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
    """Return the README's rows: what, ours, the best peer, the ratio."""
    rows = ["| what | here | beside it |", "|---|---|---|"]
    if (shakespeare := read("shakespeare")) is not None:
        medians = shakespeare["medians"]
        peer = medians.get("nanoGPT's recipe in transformers")
        for name, bound in shakespeare["bounds"].items():
            ours = medians[name]
            beside = f"{peer['loss']:.2f} after {peer['seconds']:.0f} s" if peer else "-"
            rows.append(
                f"| characters of Shakespeare, {name} | {ours['loss']:.3f} nats after {ours['seconds']:.1f} s "
                f"(bound {bound}) | nanoGPT's recipe in transformers: {beside} |"
            )
    if (throughput := read("throughput")) is not None:
        speeds = throughput["tokens_per_second"]
        others = ", ".join(f"{name} {speed:.0f}" for name, speed in speeds.items() if name != "ours")
        ratio = throughput["ratio_to_best_peer"]
        rows.append(
            f"| training GPT-2 124M, bf16 | {speeds['ours']:.0f} tokens/s"
            + (f", {ratio:.2f} times the best | {others} |" if ratio else " | - |")
        )
    if (books := read("books")) is not None:
        medians = books["medians"]
        adam = medians["plain AdamW"]
        beside = f"plain AdamW: {adam['bits_per_byte']:.3f} after {adam['seconds']:.0f} s"
        rows += [
            f"| nine million words of books, {name} | {found['bits_per_byte']:.3f} bits per byte after "
            f"{found['seconds']:.0f} s | {beside} |"
            for name, found in medians.items()
            if name != "plain AdamW"
        ]
    if (grammar := read("grammar")) is not None:
        rows.append(
            f"| BLiMP after two hours on them | {grammar['scores']['all']:.1f}% | "
            f"GPT-2-small baseline of BabyLM 2025: {grammar['baseline']}% |"
        )
    return rows


def main() -> None:
    """Write the plot and print the table."""
    if (shakespeare := read("shakespeare")) is not None:
        write_text(PLOT, plot(shakespeare))
    print("\n".join(table()))


if __name__ == "__main__":
    main()
