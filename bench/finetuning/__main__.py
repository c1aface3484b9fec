"""Measure fine-tuning: scores before and after and against older methods, speed and memory against peers.

    python -m bench.finetuning --init smollm2 spam banking     some of it
    python -m bench.finetuning --init smollm2                  all

`--init` is the folder that `scratchlm import` wrote of SmolLM2-135M-Instruct. Set SCRATCHLM_DATA to the folder that
holds classify/ and instruct/. Runs are kept in a folder, from which a later call resumes; remove it after changing what
they measure.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from bench.finetuning import adapters, datasets, small, spam, sums
from bench.store import write

from scratchlm.base.errors import Interrupted, UserError
from scratchlm.base.memory import keep_freed_memory

TASKS = {
    "spam": spam.measure,
    "banking": datasets.banking,
    "instructions": datasets.instructions,
    "small": small.measure,
    "preferences": datasets.preferences,
    "sums": sums.measure,
    "adapters": adapters.measure,
}


def main() -> None:
    """Measure what is named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", nargs="*", choices=[*TASKS, []], metavar="TASK", help=", ".join(TASKS))
    parser.add_argument("--init", type=Path, required=True, help="model folder of SmolLM2-135M-Instruct")
    parser.add_argument("--folder", type=Path, default=Path("runs/finetuning"), help="where runs are kept")
    chosen = parser.parse_args()
    keep_freed_memory()
    for task in chosen.tasks or TASKS:
        print(write(f"finetuning/{task}", TASKS[task](chosen.init, chosen.folder / task)))


if __name__ == "__main__":
    try:
        main()
    except (Interrupted, UserError) as stopped:
        raise SystemExit(f"bench.finetuning: {stopped}") from None
