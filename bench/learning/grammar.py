"""Grammar from nine million words in two hours: BLiMP after training on the books alone.

Log-likelihood of the whole sentence; the score is the mean of the sets' accuracies. Choices were made on every second
set of the alphabet (`chosen_on`); all are reported. The run is a folder that `scratchlm pretrain --resume` continues.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Any

import torch
from curves import DATA, data_file

from scratchlm.base.files import read_json, write_json
from scratchlm.evaluation.pairs import pair_accuracy, read_pairs
from scratchlm.generation.language_model import load
from scratchlm.recipes.config import PretrainConfig
from scratchlm.recipes.dial import load_recipe
from scratchlm.recipes.pretrain import pretrain
from scratchlm.tokens.config import PrepareConfig
from scratchlm.tokens.prepare import prepare

RECIPE, VOCABULARY = "books", 8192  # whose steps take two hours on two cores
BASELINE = 67.3
"""Score of the GPT-2-small baseline of BabyLM 2025 on ten million words, in percent."""


def chosen_on(names: list[str]) -> list[str]:
    """Return the sets that choices may look at: fewer than half."""
    return sorted(names)[1::2]


def scores(model_folder: Path) -> dict[str, float]:
    """Return the accuracy of each set."""
    model = load(model_folder)
    files = sorted((DATA / "evaluate" / "blimp").glob("*.jsonl"))
    if not files:
        raise SystemExit(f"{DATA / 'evaluate' / 'blimp'}: holds no sets; set SCRATCHLM_DATA")
    dtype = torch.bfloat16
    return {file.stem: pair_accuracy(model.decoder, model.tokenizer, read_pairs(file), dtype) for file in files}


def summary(found: dict[str, float]) -> dict[str, float]:
    """Return the mean accuracy in percent over all sets, over those chosen on, and over the others."""
    chosen = chosen_on(list(found))
    return {
        "all": 100 * statistics.mean(found.values()),
        "chosen on": 100 * statistics.mean(found[name] for name in chosen),
        "others": 100 * statistics.mean(value for name, value in found.items() if name not in chosen),
    }


def train(folder: Path) -> dict[str, Any]:
    """Train in `folder`, or go on where its run stands; return where it ended, with the seconds of all calls."""
    data, run, clock = folder / "data", folder / "run", folder / "seconds.json"
    if not data.exists():
        source = str(data_file("pretrain/books.jsonl"))
        prepare(PrepareConfig((source,), out=data, split="tail:0.01", vocabulary_size=VOCABULARY))
    calls = read_json(clock)["calls"] if clock.exists() else []
    started = time.perf_counter()
    try:
        if (run / "checkpoints").exists():
            result = pretrain(PretrainConfig(resume=run))
        else:
            recipe = load_recipe(RECIPE)
            config = PretrainConfig(RECIPE, data=data, out=run, model=recipe.model, training=recipe.training)
            result = pretrain(config)
    finally:
        calls.append(time.perf_counter() - started)
        write_json(clock, {"calls": calls})
    return result.as_dict() | {"out": "run", "seconds": sum(calls)}


def measure(folder: Path) -> dict[str, Any]:
    """Train for two hours and score."""
    training = train(folder)
    found = scores(folder / "run")
    return {
        "task": "BLiMP after two hours on nine million words, percent",
        "baseline": BASELINE,
        "seconds": training["seconds"],
        "training": training,
        "scores": summary(found),
        "sets": found,
        "chosen on": chosen_on(list(found)),
    }
