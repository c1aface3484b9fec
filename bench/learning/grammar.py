"""Grammar from nine million words in two hours: BLiMP after training on the books alone.

The training text is single sentences in the spelling of `spelling.py`; the pairs are spelled alike and scored by the
log-likelihood of the whole sentence. The score is the mean accuracy of the sets. Settings were tuned on every second
set of the alphabet (`chosen_on`); all are reported. `scratchlm pretrain --resume` can resume the run.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.learning.sentences import book_sentences, write_sentences
from bench.learning.spelling import Spelling
from bench.store import DATA, data_file

from scratchlm.base.config import from_dict
from scratchlm.base.device import faster_dtype
from scratchlm.base.files import read_json, write_json
from scratchlm.data.prepare import prepare
from scratchlm.evaluation.pairs import Pair, pair_accuracy, read_pairs
from scratchlm.generation.language_model import load
from scratchlm.pretraining.config import PretrainConfig
from scratchlm.pretraining.depth_scaling import load_recipe
from scratchlm.pretraining.pretrain import pretrain
from scratchlm.tokens.config import PrepareConfig
from scratchlm.training.config import TrainingConfig

RECIPE, VOCABULARY = "books", 8192
WINDOWS: dict[str, Any] = {"batch_size": 32, "sequence_length": 128}
"""As many tokens per step as the recipe, in windows of a few sentences."""
STAGES: dict[str, dict[str, Any]] = {
    "all": {"steps": 12400, "schedule": {"decay_fraction": 0.0}},
    "short": {"steps": 1250, "schedule": {"decay_fraction": 1.0}},
}
"""Stages: all sentences at the full learning rate, then the short ones with decay to zero. At 8,300 tokens per second
both take two hours."""
BASELINE = 67.3
"""Score of the GPT-2-small baseline of BabyLM 2025 on ten million words, in percent."""


def chosen_on(names: list[str]) -> list[str]:
    """Return the sets that settings may be tuned on: fewer than half."""
    return sorted(names)[1::2]


def scores(model_folder: Path, spelling: Spelling) -> dict[str, float]:
    """Return the accuracy of each set."""
    model = load(model_folder)
    files = sorted((DATA / "evaluate" / "blimp").glob("*.jsonl"))
    if not files:
        raise SystemExit(f"{DATA / 'evaluate' / 'blimp'}: holds no sets; set SCRATCHLM_DATA")
    found = {}
    for file in files:
        pairs = [Pair(spelling(pair.good), spelling(pair.bad)) for pair in read_pairs(file)]
        found[file.stem] = pair_accuracy(model.decoder, model.tokenizer, pairs, faster_dtype())
    return found


def summary(found: dict[str, float]) -> dict[str, float]:
    """Return the mean accuracy in percent over all sets, over those tuned on, and over the others."""
    chosen = chosen_on(list(found))
    return {
        "all": 100 * statistics.mean(found.values()),
        "chosen on": 100 * statistics.mean(found[name] for name in chosen),
        "others": 100 * statistics.mean(value for name, value in found.items() if name not in chosen),
    }


@contextmanager
def clock(folder: Path, name: str) -> Iterator[None]:
    """Add the seconds inside the block to the file of `name` in `folder`, even after an exception."""
    file = folder / f"{name}-seconds.json"
    calls = read_json(file)["calls"] if file.exists() else []
    started = time.perf_counter()
    try:
        yield
    finally:
        write_json(file, {"calls": [*calls, time.perf_counter() - started]})


def prepared(folder: Path) -> Spelling:
    """Write the training text of each stage to `folder`, unless it exists; return the spelling."""
    found = book_sentences(data_file("pretrain/books.jsonl"))
    spelling = Spelling(found)
    text = {name: folder / f"{name}.jsonl" for name in STAGES}
    if not all(source.exists() for source in text.values()):
        write_sentences(found, spelling, *text.values())
    options: dict[str, Any] = {"split": "tail:0.01", "vocabulary_size": VOCABULARY}
    for name, source in text.items():
        data = folder / "data" / name
        if not data.exists():
            prepare(PrepareConfig((str(source),), out=data, **options))
        options["tokenizer"] = data
    return spelling


def stage(folder: Path, name: str, changes: Mapping[str, Any], before: Path | None) -> dict[str, Any]:
    """Train one stage from the weights of the previous one, or resume it; return its result."""
    run = folder / name
    if (run / "checkpoints").exists():
        config = PretrainConfig(resume=run)
    else:
        recipe = load_recipe(RECIPE)
        training = from_dict(TrainingConfig, WINDOWS | changes, "training", recipe.training)
        data = folder / "data" / name
        config = PretrainConfig(RECIPE, data=(data,), out=run, init=before, model=recipe.model, training=training)
    return {key: value for key, value in pretrain(config).as_dict().items() if key not in ("out", "seconds")}


def measure(folder: Path) -> dict[str, Any]:
    """Train for two hours, or resume from the folder, and score."""
    folder.mkdir(parents=True, exist_ok=True)
    with clock(folder, "text"):
        spelling = prepared(folder)
    before, results = None, {}
    for name, changes in STAGES.items():
        with clock(folder, name):
            results[name] = stage(folder, name, changes, before)
        before = folder / name
    sets = scores(folder / list(STAGES)[-1], spelling)
    seconds = {name: sum(read_json(folder / f"{name}-seconds.json")["calls"]) for name in ("text", *STAGES)}
    title = "BLiMP after two hours on nine million words, percent"
    told = {"task": title, "baseline": BASELINE, "seconds": sum(seconds.values()), "seconds by part": seconds}
    scored = {"scores": summary(sets), "sets": sets, "chosen on": chosen_on(list(sets))}
    return {**told, "training": results, **scored}
