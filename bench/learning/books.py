"""Nine million words of books: bits per byte on the last 5% after ten minutes.

`default` and `speedrun` are compared with the default model trained by plain AdamW. All share one tokenizer, trained on
a sample of all books as `scratchlm prepare` does. A time limit ends a run, as with `scratchlm pretrain --minutes`: a
probe, which counts as training time, plans its steps, and the plan is updated during the run. `speedrun` also runs for
half the time, to match AdamW after the full time. Finished runs are kept in a folder, so that a later call resumes.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.learning.curves import Curve, median_of
from bench.store import data_file

from scratchlm.base.device import faster_dtype
from scratchlm.base.files import read_json, write_json
from scratchlm.data.batches import Tokens
from scratchlm.data.prepare import prepare
from scratchlm.data.prepared import open_data
from scratchlm.evaluation.bits import held_out_loss
from scratchlm.model.decoder import Decoder, build_decoder
from scratchlm.pretraining.depth_scaling import load_recipe
from scratchlm.tokens.base import Tokenizer
from scratchlm.tokens.config import PrepareConfig
from scratchlm.training.config import AdamWConfig, OptimizerConfig
from scratchlm.training.fit import fit
from scratchlm.training.loop import Loop, RuntimeConfig
from scratchlm.training.probing import probe_seconds
from scratchlm.training.profiling import Deadline, steps_within
from scratchlm.training.stages import measure_step, training_batches

VOCABULARY = 4096


@dataclass(frozen=True)
class Contender:
    """A recipe with a time limit, and an optimizer that replaces its own."""

    recipe: str
    minutes: float
    depth: int = 6
    optimizer: OptimizerConfig | None = None


CONTENDERS = {
    "plain AdamW": Contender("default", 10, optimizer=AdamWConfig(learning_rate=0.01, weight_decay=0.1)),
    "default": Contender("default", 10),
    "speedrun": Contender("speedrun", 10),
    "speedrun, half the time": Contender("speedrun", 5),
}


@dataclass(frozen=True)
class Text:
    """Prepared training and held-out text."""

    tokenizer: Tokenizer
    train: Tokens
    held_out: Tokens


def prepared(folder: Path) -> Text:
    """Prepare the books with their own tokenizer, unless done before."""
    source = str(data_file("pretrain/books.jsonl"))
    if not folder.exists():
        prepare(PrepareConfig((source,), out=folder, split="tail:0.05", vocabulary_size=VOCABULARY))
    return Text(*open_data(folder))


def train(contender: Contender, text: Text, seed: int) -> tuple[Decoder, dict[str, Any]]:
    """Train one contender; return the model, and the result with the curve in bits per byte."""
    started = time.perf_counter()
    recipe = load_recipe(contender.recipe, contender.depth)
    optimizer = contender.optimizer or recipe.training.optimizer
    config = dataclasses.replace(
        recipe.training, optimizer=optimizer, evaluate_every=0, sample_every=0, checkpoint_every=0
    )
    decoder = build_decoder(dataclasses.replace(recipe.model, vocabulary_size=text.tokenizer.vocabulary_size), seed)
    budget = probe_seconds(contender.minutes, config.compile)
    dtype = faster_dtype()
    seconds = measure_step(decoder, text.train, config, RuntimeConfig(dtype=dtype, seed=seed), budget)
    left = 60 * contender.minutes - (time.perf_counter() - started)
    config = dataclasses.replace(config, steps=steps_within(left, seconds))

    def score(model: Any) -> float:
        length = config.sequence_length
        return held_out_loss(model, text.tokenizer, text.held_out, length=length, dtype=dtype).bits_per_byte

    curve = Curve(score, every=max(1, config.steps // 2), started=started)
    pace = Deadline(left, seconds, lambda: time.perf_counter() - curve.spent)
    batches = training_batches(text.train, config, seed)
    loop = Loop(decoder, batches, config, runtime=RuntimeConfig(dtype=dtype, seed=seed))
    fit(loop, hooks=[curve], pace=pace)
    used, bits = curve.points[-1]
    result = {"seed": seed, "parameters": decoder.parameter_count(), "steps": loop.step, "seconds": used}
    return decoder, {**result, "bits_per_byte": bits, "curve": curve.points}


def measure(seeds: Sequence[int], folder: Path) -> dict[str, Any]:
    """Train every contender once for each seed; finished runs in `folder` are not repeated."""
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in CONTENDERS}
    text = prepared(folder / "data")
    for seed in seeds:
        for name, contender in CONTENDERS.items():
            file = folder / f"{name}, seed {seed}.json"
            if not file.exists():
                write_json(file, train(contender, text, seed)[1])
            runs[name].append(read_json(file))
            print(f"{file.stem}: {runs[name][-1]['bits_per_byte']:.4f} bits per byte", flush=True)
    medians = {
        name: {key: median_of(found, key) for key in ("seconds", "bits_per_byte", "parameters", "steps")}
        for name, found in runs.items()
    }
    return {"task": "books, bits per byte", "medians": medians, "runs": runs}
