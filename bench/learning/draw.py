"""Draw the plot and the table of docs/benchmarks.md, and the log's table of parts, from the results."""

from __future__ import annotations

import math
import statistics
from pathlib import Path
from typing import Any

from bench.store import read, write_between_marks

from scratchlm.base.files import write_text
from scratchlm.lab.harness.outcome import Curves
from scratchlm.lab.harness.plots import as_svg
from scratchlm.pretraining.scaling_law import USUAL_STEP, LossLaw

ROOT = Path(__file__).parent.parent.parent
PLOT, LAW = ROOT / "docs" / "learning.svg", ROOT / "docs" / "scaling.svg"
PAGE, LOG = ROOT / "docs" / "benchmarks.md", ROOT / "bench" / "LOG.md"


def plot(result: dict[str, Any]) -> str:
    """Return an SVG: a curve for each contender, its median run; seconds on a logarithmic axis."""
    lines = {}
    for name, runs in result["runs"].items():
        median = sorted(runs, key=lambda run: run["loss"])[len(runs) // 2]
        seconds, losses = zip(*(point for point in median["curve"] if point[0] > 0), strict=True)
        label = f"{name}: {losses[-1]:.3f} after {seconds[-1]:.0f} s"
        lines[label] = (seconds, losses)
    return as_svg(Curves("", "seconds of training on two cores", "nats a character, held-out Shakespeare", lines, True))


def law_plot(result: dict[str, Any], larger: dict[str, Any] | None) -> str:
    """Return an SVG: runs of `default` with its usual steps, and larger ones, each size with the band of the law."""
    law, by_size, lines, bands = LossLaw(**result["law"]), dict[int, list[dict[str, Any]]](), {}, {}
    beyond = larger["runs"] if larger else []
    for run in (*result["runs"], *beyond):
        if run["dial"] == "default" and (run in beyond or run["tokens_a_step"] == USUAL_STEP["default"]):
            by_size.setdefault(run["weights"], []).append(run)
    for weights, runs in sorted(by_size.items()):
        name = f"{weights / 1e6:.2g} million weights" + ", not in the fit" * (runs[0] in beyond)
        told = [law.bits("default", weights, run["tokens"], run["tokens_a_step"]) for run in runs]
        lines[name] = ([run["tokens"] for run in runs], [run["bits_per_byte"] for run in runs])
        bands[name] = ([each - law.error for each in told], [each + law.error for each in told])
    return as_svg(Curves("", "tokens of training", "bits per byte of held-out books", lines, True, bands))


def table() -> list[str]:
    """Return the rows of the page: what, measured here, baseline."""
    rows = ["| what | measured | baseline |", "|---|---|---|"]
    tables = {
        "shakespeare": _characters,
        "throughput": _throughput,
        "books": _books,
        "interpolated": _interpolated,
        "grammar": _grammar,
    }
    for name, of in tables.items():
        if (result := read(f"learning/{name}")) is not None:
            rows += [f"| {' | '.join(cells)} |" for cells in of(result)]
    return rows


def _characters(result: dict[str, Any]) -> list[tuple[str, str, str]]:
    medians, seeds = result["medians"], len(next(iter(result["runs"].values())))
    beside = ""
    if peer := medians.get("nanoGPT's recipe in transformers"):
        beside = f"nanoGPT's recipe for a CPU, in transformers, fp32, {peer['parameters'] / 1e6:.2f} million parameters"
        beside += f": {peer['loss']:.3f} after {peer['seconds']:.0f} s"
    rows = []
    for name, bound in result["bounds"].items():
        ours, under = medians[name], _first_under(result["runs"][name], bound)
        cell = f"{ours['loss']:.3f} nats after {ours['seconds']:.{0 if ours['seconds'] > 60 else 1}f} s"
        cell += f"; under {bound} after {under:.1f} s" if under is not None else f"; {bound} is not reached"
        size = f"{ours['parameters'] / 1e6:.1f} million parameters"
        rows.append((f"characters of Shakespeare, `{name}`, {size}, {_seeds(seeds)}", cell, beside))
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
    rows = []
    for name, found in medians.items():
        if name == "plain AdamW":
            continue
        what = f"nine million words of books, `{name.split(',')[0]}`, {_seeds(seeds)}"
        rows.append((what, f"{found['bits_per_byte']:.3f} bits per byte after {found['seconds']:.0f} s", beside))
    return rows


def _interpolated(result: dict[str, Any]) -> list[tuple[str, str, str]]:
    rows = []
    for name, found in result["medians"].items():
        unit, bound = result["about"][name]["unit"], result["about"][name]["bound"]
        cell = f"{found['interpolated']:.3f} {unit} after {found['seconds']:.0f} s"
        cell += f"; under {bound}" if found["interpolated"] < bound else f"; {bound} is not reached"
        alone = f"each alone: the network {found['network']:.3f}, the n-grams {found['n-grams']:.3f} after "
        rows.append((f"{name}, {_seeds(len(result['runs'][name]))}", cell, f"{alone}{found['counting']:.1f} s"))
    return rows


def _grammar(result: dict[str, Any]) -> list[tuple[str, str, str]]:
    scores, others = result["scores"], len(result["sets"]) - len(result["chosen on"])
    cell = f"{scores['all']:.1f}%, {scores['others']:.1f}% on the {others} sets that no setting was tuned on; "
    cell += f"{result['seconds'] / 60:.0f} minutes"
    baseline = "guessing: 50%; BabyLM 2025's GPT-2-small baseline on ten million words, as published: "
    baseline += f"{result['baseline']}%"
    return [(f"BLiMP's {len(result['sets'])} sets, nine million words of books, one seed", cell, baseline)]


def parts_table(result: dict[str, Any]) -> list[str]:
    """Return the log's rows: each part, what it gains, and the milliseconds of a step with it or without."""
    recipe, seeds = result["recipe"], len(result["recipe"]["losses"])
    rows = [f"| part ({seeds} seeds) | in the recipe | gain, nats | smallest, largest | ms a step |", "|---" * 5 + "|"]
    for part in sorted(result["parts"], key=lambda part: -part["gain"]):
        sign = 1 if part["taken"] else -1
        gains = [sign * (other - own) for own, other in zip(recipe["losses"], part["losses"], strict=True)]
        here, there = ("yes", "without it") if part["taken"] else ("no", "with it")
        figures = f"{part['gain']:+.4f} | {min(gains):+.4f}, {max(gains):+.4f} | {part['ms_a_step']:.0f} {there}"
        rows.append(f"| {part['part']} | {here} | {figures} |")
    return [*rows, f"| the recipe | | | | {recipe['ms_a_step']:.0f} |"]


def main() -> None:
    """Write the plot, and the tables between the marks."""
    if (shakespeare := read("learning/shakespeare")) is not None:
        write_text(PLOT, plot(shakespeare))
    if (fitted := read("learning/law")) is not None:
        write_text(LAW, law_plot(fitted, read("learning/larger")))
    write_between_marks(PAGE, "bench/learning", table())
    if (parts := read("learning/parts")) is not None:
        write_between_marks(LOG, "bench/learning", parts_table(parts))


if __name__ == "__main__":
    main()
