"""Short trainings for grammar that differ in one setting: what might raise the score of the two-hour run.

Six layers of 192, 2.9 million tokens of the sentences of `grammar.py`; the mean accuracy on 25 sets of BLiMP, the first
300 pairs of each. The sets are those that settings may be tuned on. Finished looks are kept in a folder.
"""

from __future__ import annotations

import dataclasses
import statistics
import time
from pathlib import Path
from typing import Any

from bench.learning.grammar import RECIPE, WINDOWS, chosen_on, prepared
from bench.learning.spelling import Spelling
from bench.store import DATA

from scratchlm.base.config import from_dict
from scratchlm.base.device import faster_dtype
from scratchlm.base.files import read_json, write_json
from scratchlm.data.prepare import open_data
from scratchlm.evaluation.bits import held_out_loss
from scratchlm.evaluation.pairs import Pair, pair_accuracy, read_pairs
from scratchlm.model.decoder import Decoder, build_decoder
from scratchlm.runs.depth_scaling import load_recipe
from scratchlm.tokens.base import Tokenizer
from scratchlm.training.config import TrainingConfig
from scratchlm.training.fit import fit
from scratchlm.training.loop import Loop, RuntimeConfig
from scratchlm.training.stages import training_batches

DEPTH, STEPS, PAIRS, SEED = 6, 700, 300, 0
LOOKS: dict[str, dict[str, Any]] = {
    "as the two-hour run": {},
    "half the batch, twice the steps": {"batch_size": 16, "steps": 1400},
    "masked rows, 1 of 8": {"masked_fraction": 0.125},
    "moving average of the weights": {"ema_decay": 0.98},
}
"""Changes of the training."""
SWINGING = ("only_npi_licensor_present", "left_branch_island_echo_question", "sentential_negation_npi_scope")
"""Sets whose two sentences begin with different words, which swing by tens of points."""


def measure(folder: Path) -> dict[str, Any]:
    """Take all looks, or those that are missing in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    spelling, found = prepared(folder), {}
    for name, changes in LOOKS.items():
        kept = folder / f"look, {name}.json"
        if not kept.exists():
            write_json(kept, _look(folder, spelling, changes))
        found[name] = read_json(kept)
        print(name, {key: value for key, value in found[name].items() if key != "sets"}, flush=True)
    return {"task": f"BLiMP after {STEPS} steps of {WINDOWS}, percent", "seed": SEED, "looks": found}


def _look(folder: Path, spelling: Spelling, changes: dict[str, Any]) -> dict[str, Any]:
    tokenizer, train, held_out = open_data(folder / "data" / "all")
    recipe = load_recipe(RECIPE, DEPTH)
    quiet = {"evaluate_every": 0, "sample_every": 0, "checkpoint_every": 0}
    training = from_dict(TrainingConfig, {**WINDOWS, "steps": STEPS, **quiet, **changes}, "training", recipe.training)
    decoder = build_decoder(dataclasses.replace(recipe.model, vocabulary_size=tokenizer.vocabulary_size), SEED)
    started, runtime = time.perf_counter(), RuntimeConfig(dtype=faster_dtype(), seed=SEED)
    fit(Loop(decoder, training_batches(train, training, SEED), training, runtime=runtime))
    seconds = time.perf_counter() - started
    score = held_out_loss(decoder, tokenizer, held_out, length=training.sequence_length, dtype=faster_dtype())
    sets = _scores(decoder, tokenizer, spelling)
    steady = [value for name, value in sets.items() if name not in SWINGING]
    return {
        "changes": changes,
        "bits_per_byte": score.bits_per_byte,
        "blimp": 100 * statistics.mean(sets.values()),
        "without three": 100 * statistics.mean(steady),
        "seconds": seconds,
        "sets": sets,
    }


def _scores(decoder: Decoder, tokenizer: Tokenizer, spelling: Spelling) -> dict[str, float]:
    files = {file.stem: file for file in (DATA / "evaluate" / "blimp").glob("*.jsonl")}
    found = {}
    for name in chosen_on(list(files)):
        pairs = [Pair(spelling(pair.good), spelling(pair.bad)) for pair in list(read_pairs(files[name]))[:PAIRS]]
        found[name] = pair_accuracy(decoder, tokenizer, pairs, faster_dtype())
    return found
