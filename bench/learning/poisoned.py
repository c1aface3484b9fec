"""What one document of random tokens costs, with and without the protection against loss spikes.

A few books are prepared alone, and with a document of few or of many random tokens among them. Each is trained on
alike: `default` at depth 2 for 1,200 small steps, whose held-out text holds no poison. What is left out of clean runs
is a false alarm.
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
from scratchlm.data.prepared import open_data
from scratchlm.pretraining.skipped import skipped_steps

BOOKS = 14
STEPS, ROWS, LENGTH = 1200, 16, 128
POISON_SEED = 7
ARMS = {"clean": (0, 6.0)} | {
    f"{tokens:,} bad tokens{how}": (tokens, sigma)
    for tokens in (4_000, 40_000)
    for how, sigma in (("", 6.0), (", not protected", 0.0))
}
"""Bad tokens, and the standard deviations from which on a row is left out; 0: never."""


def measure(seeds: Sequence[int]) -> dict[str, Any]:
    """Return the final losses of each arm, its skipped steps, and how often the document was named."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        number = _prepare(place)
        found = {arm: [_run(place, arm, seed, number) for seed in seeds] for arm in ARMS}
    return {"books": BOOKS, "steps": STEPS, "seeds": list(seeds), "arms": found}


def _prepare(place: Path) -> int:
    """Prepare all texts with the clean one's tokenizer; return the place of the bad document among the others."""
    with data_file("pretrain/books.jsonl").open(encoding="utf-8") as file:
        books = [json.loads(file.readline())["text"] for _ in range(BOOKS)]
    _prepare_one(place, 0, books)
    tokenizer, middle = open_data(place / "0")[0], BOOKS // 2
    for tokens in sorted({tokens for tokens, _ in ARMS.values() if tokens}):
        drawn = np.random.default_rng(POISON_SEED).integers(0, tokenizer.vocabulary_size, tokens)
        _prepare_one(place, tokens, [*books[:middle], tokenizer.decode(drawn.tolist()), *books[middle:]])
    return middle


def _prepare_one(place: Path, tokens: int, texts: Sequence[str]) -> None:
    (place / f"{tokens}.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    tokenizer = {"tokenizer": place / "0"} if tokens else {}
    out = place / str(tokens)
    scratchlm.prepare(place / f"{tokens}.jsonl", out=out, text_column="text", split="tail:0.05", **tokenizer)


def _run(place: Path, arm: str, seed: int, number: int) -> dict[str, Any]:
    run, (tokens, sigma) = place / f"{arm}-{seed}", ARMS[arm]
    ended = scratchlm.pretrain(
        "default",
        depth=2,
        data=place / str(tokens),
        out=run,
        seed=seed,
        overrides={
            "training.steps": STEPS,
            "training.batch_size": ROWS,
            "training.sequence_length": LENGTH,
            "training.spikes.sigma": sigma,
            "training.log_every": 1,
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
