"""What short trials say of the learning rate of a whole run: two ways of successive halving against all whole runs.

Nine rates a third of a factor of ten apart, trained to the end. Losses in mid-run, after a ninth and a third of the
steps, are what halving with trials that go on would compare. Runs as short as that, each with a schedule of its own,
are what `pretrain --sweep` compares. Each way chooses a rate; what it loses is the loss of that rate's whole run beside
the lowest.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.store import data_file
from scipy.stats import spearmanr

import scratchlm
from scratchlm.base.runfolder import LOG_FILE, Evaluation, read_log
from scratchlm.pretraining.sweep.halving import Halving, rounds

BOOKS = 14
STEPS, ROWS, LENGTH = 450, 16, 128
RATES = [round(0.002 * 10 ** (place / 4), 4) for place in range(9)]
Losses = list[list[float]]
"""By round, then by rate."""


def measure(seeds: Sequence[int]) -> dict[str, Any]:
    """Return, for each seed and way, the losses of all rates on each round, and what the choice loses."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        with data_file("pretrain/books.jsonl").open(encoding="utf-8") as file:
            (place / "books.jsonl").write_text("".join(file.readline() for _ in range(BOOKS)), encoding="utf-8")
        scratchlm.prepare(place / "books.jsonl", out=place / "data", text_column="text", split="tail:0.05")
        told = [_compare(place, seed) for seed in seeds]
    return {"rates": RATES, "steps": STEPS, "seeds": list(seeds), "found": told}


def _compare(place: Path, seed: int) -> dict[str, Any]:
    planned = [round_number.steps for round_number in rounds(len(RATES), STEPS)]
    whole = [_run(place / f"{seed}-{rate}", place, seed, rate, STEPS, planned[0]) for rate in RATES]
    short = [[_run(place / f"{seed}-{rate}-{s}", place, seed, rate, s, 0)[s] for rate in RATES] for s in planned[:-1]]
    last = [losses[STEPS] for losses in whole]
    middle = [[losses[steps] for losses in whole] for steps in planned[:-1]]
    ways = {"trials that go on": middle, "trials anew": short}
    told = {way: _choice([*losses, last]) for way, losses in ways.items()}
    print(json.dumps({"seed": seed, "whole runs": last, **told}), flush=True)
    return {"seed": seed, "whole runs": last, **told}


def _choice(losses: Losses) -> dict[str, Any]:
    """Return what halving chooses by these losses."""
    last = losses[-1]
    halving = Halving(rounds(len(last), STEPS))
    while (job := halving.next()) is not None:
        halving.add(*job, losses[job[1]][job[0]])
    chosen = halving.order()[0]
    ranks = [float(spearmanr(early, last).statistic) for early in losses[:-1]]
    return {"losses": losses[:-1], "rank correlation": ranks, "rate": RATES[chosen], "lost": last[chosen] - min(last)}


def _run(out: Path, place: Path, seed: int, rate: float, steps: int, every: int) -> dict[int, float]:
    """Train once; return the held-out loss by step."""
    scratchlm.pretrain(
        "default",
        depth=2,
        data=place / "data",
        out=out,
        seed=seed,
        dtype="fp32",
        overrides={
            "training.steps": steps,
            "training.batch_size": ROWS,
            "training.sequence_length": LENGTH,
            "training.optimizer.learning_rate": rate,
            "training.evaluate_every": every,
            "training.sample_every": 0,
            "training.keep_best": False,
        },
    )
    found = [record for record in read_log(out / LOG_FILE) if isinstance(record, Evaluation)]
    return {record.step: record.loss for record in found if record.loss is not None}
