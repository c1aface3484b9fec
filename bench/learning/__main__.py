"""Measure how fast models learn here, beside peers, and draw the table and plot of docs/benchmarks.md.

    python -m bench.learning                      all but the hours for grammar, one seed after the other
    python -m bench.learning throughput books     some of it
    python -m bench.learning grammar ablations    the two-hour run, and short ones that try its settings
    python -m bench.learning draw                 the tables and the plot, from bench/results/learning

Set SCRATCHLM_DATA to the folder that holds pretrain/ and evaluate/. Peers come with `pip install -e ".[bench]"`; what
is not installed is left out and said so. Leave the machine alone meanwhile. Books, interpolated and grammar keep their
runs in a folder (`--folder`), from which a later call goes on; remove it after changing what they measure.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.learning import (
    ablations,
    books,
    draw,
    grammar,
    halving,
    hidden,
    interpolated,
    law,
    little,
    parts,
    poisoned,
    ranks,
    shakespeare,
    throughput,
)
from bench.store import write

from scratchlm.base.errors import Interrupted, UserError
from scratchlm.base.memory import keep_freed_memory

MODELS = ("throughput", "shakespeare", "parts", "books", "interpolated", "grammar")
SETTINGS = ("law", "larger", "poisoned", "halving", "ranks", "hidden", "little", "ablations")
TASKS = (*MODELS, *SETTINGS, "draw")


def main() -> None:
    """Measure what is named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", nargs="*", choices=[*TASKS, []], metavar="TASK", help="what to measure")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each contender; the median counts")
    parser.add_argument("--folder", type=Path, default=Path("runs/bench"), help="where long runs are kept")
    chosen = parser.parse_args()
    keep_freed_memory()
    seeds, folder = range(chosen.seeds), chosen.folder
    measures: dict[str, Callable[[], dict[str, Any]]] = {
        "throughput": throughput.measure,
        "shakespeare": lambda: shakespeare.measure(seeds),
        "parts": lambda: parts.measure(seeds),
        "books": lambda: books.measure(seeds, folder / "books"),
        "interpolated": lambda: interpolated.measure(seeds, folder / "interpolated"),
        "law": law.measure,
        "larger": law.measure_larger,
        "poisoned": lambda: poisoned.measure(seeds),
        "ranks": lambda: ranks.measure(chosen.seeds),
        "hidden": hidden.measure,
        "halving": lambda: halving.measure(seeds),
        "little": lambda: little.measure(seeds, folder / "little"),
        "ablations": lambda: ablations.measure(folder / "grammar"),
        "grammar": lambda: grammar.measure(folder / "grammar"),
    }
    for task in chosen.tasks or [name for name in TASKS if name not in ("grammar", "ablations")]:
        if task == "draw":
            draw.main()
        else:
            write(f"learning/{task}", measures[task]())


if __name__ == "__main__":
    try:
        main()
    except (Interrupted, UserError) as stopped:
        raise SystemExit(f"bench/learning: {stopped}") from None
