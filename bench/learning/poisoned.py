"""What one document of random tokens costs, with and without the protection against loss spikes.

A few books are prepared twice, once with the document among them. Each is trained on alike: `default` at depth 2 for
1,200 small steps, whose held-out text holds no poison. Steps that were skipped in clean runs are false alarms.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from bench.store import data_file

import scratchlm
from scratchlm.base.runfolder import LOG_FILE, Rollback, Train, read_log
from scratchlm.data.prepare import open_data
from scratchlm.runs.skipped import skipped_steps

BOOKS, TOKENS = 14, 40_000
STEPS, ROWS, LENGTH = 1200, 16, 128
POISON_SEED = 7
ARMS = {"clean": 6.0, "poisoned": 6.0, "poisoned, not protected": 0.0}
"""Texts, with the standard deviations from which on a step is skipped; 0: never."""


def measure(seeds: Sequence[int]) -> dict[str, Any]:
    """Return the final losses of each arm, its skipped steps, and how often the document was named."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        number = _prepare(place)
        found = {arm: [_run(place, arm, seed, number) for seed in seeds] for arm in ARMS}
    return {"books": BOOKS, "tokens": TOKENS, "steps": STEPS, "seeds": list(seeds), "arms": found}


def _prepare(place: Path) -> int:
    """Prepare both texts with the clean one's tokenizer; return the place of the bad document among the others."""
    with data_file("pretrain/books.jsonl").open(encoding="utf-8") as file:
        books = [json.loads(file.readline())["text"] for _ in range(BOOKS)]
    _prepare_one(place, "clean", books)
    tokenizer = open_data(place / "clean")[0]
    drawn = np.random.default_rng(POISON_SEED).integers(0, tokenizer.vocabulary_size, TOKENS)
    middle = BOOKS // 2
    _prepare_one(place, "poisoned", [*books[:middle], tokenizer.decode(drawn.tolist()), *books[middle:]])
    return middle


def _prepare_one(place: Path, name: str, texts: Sequence[str]) -> None:
    (place / f"{name}.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    tokenizer = {} if name == "clean" else {"tokenizer": place / "clean"}
    scratchlm.prepare(place / f"{name}.jsonl", out=place / name, text_field="text", split="tail:0.05", **tokenizer)


def _run(place: Path, arm: str, seed: int, number: int) -> dict[str, Any]:
    run = place / f"{arm}-{seed}"
    ended = scratchlm.pretrain(
        "default",
        depth=2,
        data=place / arm.split(",")[0],
        out=run,
        seed=seed,
        overrides={
            "training.steps": STEPS,
            "training.batch_size": ROWS,
            "training.sequence_length": LENGTH,
            "training.spikes.sigma": ARMS[arm],
            "training.sample_every": 0,
        },
    )
    skipped = skipped_steps(run)
    steps = [record for record in read_log(run / LOG_FILE) if isinstance(record, Train)]
    named = sum(bool(each.documents) and each.documents[0].number == number for each in skipped)
    returns = sum(isinstance(record, Rollback) for record in read_log(run / LOG_FILE))
    told = {
        "loss": ended.loss,
        "steps_skipped": sum(step.skipped for step in steps),
        "rows_left_out": sum(step.left_out or 0 for step in steps),
        "told": len(skipped),
        "named": named,
        "returns": returns,
        "seconds": ended.seconds,
    }
    print(arm, seed, told, flush=True)
    return told
