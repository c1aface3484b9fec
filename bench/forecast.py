"""What `plan` forecasts of eight runs, beside what they took and reached.

    python -m bench.forecast

Each is planned, and then trained on nine million words of books, in processes of their own. Leave the machine alone
meanwhile. Results: bench/results/forecast-PROCESSOR.json, a file for each kind.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench.learning.books import prepared
from bench.store import write

from scratchlm.base.device import machine
from scratchlm.base.files import read_json
from scratchlm.base.runfolder import LOG_FILE, Evaluation, Train, read_log

RUNS = (
    *(("default", depth, steps) for depth, steps in ((2, 120), (3, 120), (4, 120), (6, 60))),
    *(("speedrun", depth, steps) for depth, steps in ((2, 240), (3, 240), (4, 240), (6, 120))),
)
"""Recipe, depth and steps."""


def measure() -> dict[str, Any]:
    """Plan and train all runs."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        prepared(place / "data")
        for recipe, depth, steps in RUNS:
            found.append(_one(place, recipe, depth, steps))
            print(found[-1], flush=True)
    return {"task": "forecasts of eight runs, and what came", "runs": found}


def _one(place: Path, recipe: str, depth: int, steps: int) -> dict[str, Any]:
    """Plan a run, train it, and return both."""
    common = [recipe, "--depth", str(depth), "--training.steps", str(steps)]
    told = json.loads(_command("plan", *common, "--json"))
    out = place / f"{recipe}-{depth}"
    quiet = ["--training.sample-every", "0", "--training.evaluate-every", "0", "--training.log-every", "1"]
    _command("pretrain", *common, *quiet, "--data", str(place / "data"), "--out", str(out), "--dtype", told["dtype"])
    records = list(read_log(out / LOG_FILE))
    seconds = [record.timing.seconds for record in records if isinstance(record, Train)]
    last = [record for record in records if isinstance(record, Evaluation)][-1]
    loss = told["expected_loss"]
    return {
        "recipe": recipe,
        "depth": depth,
        "steps": steps,
        "tokens": told["tokens"],
        "seconds": {"expected": told["seconds"], "came": sum(seconds)},
        "memory": {"expected": told["process_memory"], "came": read_json(out / "manifest.json")["peak_memory"]},
        "bits_per_byte": {
            "expected": loss["bits_per_byte"],
            "error": loss["error"],
            "measured": loss["measured"],
            "came": last.bits_per_byte,
        },
    }


def _command(*arguments: str) -> str:
    command = [sys.executable, "-m", "scratchlm", *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


if __name__ == "__main__":
    write(f"forecast-{machine()['cpu_capability'].lower()}", measure())
