"""The speed of two processes with one thread each beside one process with two threads, on the same batches.

Runs take turns. What counts is the median of their tokens a second, by the seconds that each step logs.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

from bench.store import data_file

import scratchlm
from scratchlm.base.runfolder import LOG_FILE, Train, read_log

STEPS, UNMEASURED = 25, 5
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
WAYS: dict[str, tuple[Sequence[str], Sequence[str]]] = {
    "one process, two threads": ((), ("--threads", "2")),
    "two processes": (TORCHRUN, ("--threads", "1")),
    "two processes, sharded": (TORCHRUN, ("--threads", "1", "--sharding", "full")),
}
MODELS = {"depth 2": ("--depth", "2"), "depth 6": ("--depth", "6")}


def measure(turns: int) -> dict[str, Any]:
    """Return tokens a second of each way for each model, and the ratio to one process."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        scratchlm.prepare(
            data_file("pretrain/the-verdict.txt"), out=place / "data", split="tail:0.05", vocabulary_size=2000
        )
        found: dict[str, dict[str, list[float]]] = {model: {way: [] for way in WAYS} for model in MODELS}
        for model, turn, way in product(MODELS, range(turns), WAYS):
            found[model][way].append(_run(place, model, way, turn))
    medians = {model: {way: statistics.median(speeds) for way, speeds in ways.items()} for model, ways in found.items()}
    alone = next(iter(WAYS))
    ratios = {model: {way: speed / ways[alone] for way, speed in ways.items()} for model, ways in medians.items()}
    return {"steps": STEPS, "turns": turns, "tokens_per_second": found, "medians": medians, "ratios": ratios}


def _run(place: Path, model: str, way: str, turn: int) -> float:
    before, after = WAYS[way]
    out = place / f"{model}-{way}-{turn}".replace(" ", "").replace(",", "-")
    often = ["--training.log-every", "1", "--training.evaluate-every", "0", "--training.sample-every", "0"]
    sizes = ["--training.steps", str(STEPS), "--training.checkpoint-every", "0", "--training.evaluation-tokens", "256"]
    last = ["--training.last-evaluation-tokens", "256"]
    command = ["-m", "scratchlm", "pretrain", "default", "--data", str(place / "data"), "--out", str(out)]
    whole = [sys.executable, *before, *command, *MODELS[model], *often, *sizes, *last, "--dtype", "fp32", *after]
    subprocess.run(whole, check=True, capture_output=True)
    steps = [record for record in read_log(out / LOG_FILE) if isinstance(record, Train)][UNMEASURED:]
    speed = statistics.median(record.tokens / record.timing.seconds for record in steps)
    print(f"{model}, {way}: {speed:,.0f} tokens/s", flush=True)
    return speed
