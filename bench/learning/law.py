"""Scaling law of `scratchlm plan`: bits per byte from a run's parameters and tokens, and its error.

`scratchlm.runs.scaling_law` has its form. It is fitted to short complete runs on the books, scored on their last 5%.
The reported error is the largest in leave-one-out validation. The coefficients become part of the package.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from bench.learning.books import Text, prepared

from scratchlm.base.device import faster_dtype
from scratchlm.base.files import write_json
from scratchlm.evaluation.bits import held_out_loss
from scratchlm.model.decoder import build_decoder
from scratchlm.runs import scaling_law as expected
from scratchlm.runs.depth_scaling import ScalingName, at_depth
from scratchlm.runs.scaling_law import LossLaw, Measured, fit_law
from scratchlm.training.fit import fit as train_whole
from scratchlm.training.loop import Loop, RuntimeConfig
from scratchlm.training.optimizer import matrix_weights
from scratchlm.training.stages import training_batches

GRID = [*((depth, tokens) for depth in (2, 4, 6) for tokens in (250_000, 1_000_000, 4_000_000)), (8, 1_000_000)]
SPEEDRUN_GRID = [(4, 1_000_000), (6, 1_000_000), (6, 4_000_000)]
LARGER = 10, 1_000_000
"""Depth and tokens of a run that is larger than all that the law was fitted to."""
EFFICIENCIES = np.arange(0.8, 3.01, 0.02)


@dataclass(frozen=True)
class Run:
    """A finished run: its depth scaling rule, weights, tokens and loss."""

    dial: ScalingName
    weights: int
    tokens: int
    bits_per_byte: float


def fit(runs: Sequence[Run]) -> LossLaw:
    """Fit the law to the runs of `default`, then the one coefficient of the speedrun."""
    law = fit_law([Measured(run.weights, run.tokens, run.bits_per_byte) for run in runs if run.dial == "default"])
    fast = [run for run in runs if run.dial == "speedrun"]
    errors = [sum(error(replace(law, speedrun=e), run) ** 2 for run in fast) for e in EFFICIENCIES]
    return replace(law, speedrun=round(float(EFFICIENCIES[int(np.argmin(errors))]), 4)) if fast else law


def error(law: LossLaw, run: Run) -> float:
    """Return the error of the law in bits per byte, positive if it predicts too much."""
    return law.bits(run.dial, run.weights, run.tokens) - run.bits_per_byte


def left_out_errors(runs: Sequence[Run]) -> list[float]:
    """Return for each run the error of the law fitted to all others."""
    return [error(fit([other for other in runs if other is not run]), run) for run in runs]


def train(dial: ScalingName, depth: int, tokens: int, text: Text, seed: int = 0) -> Run:
    """Train a run on `tokens` tokens and score it."""
    model, training = at_depth(depth, dial)
    steps = round(tokens / (training.batch_size * training.sequence_length))
    training = replace(training, steps=steps, evaluate_every=0, sample_every=0, checkpoint_every=0)
    decoder = build_decoder(replace(model, vocabulary_size=text.tokenizer.vocabulary_size), seed)
    batches = training_batches(text.train, training, seed)
    train_whole(Loop(decoder, batches, training, runtime=RuntimeConfig(dtype=faster_dtype(), seed=seed)))
    score = held_out_loss(decoder, text.tokenizer, text.held_out, length=training.sequence_length, dtype=faster_dtype())
    inside = matrix_weights(decoder)
    return Run(dial, inside, steps * training.batch_size * training.sequence_length, score.bits_per_byte)


def measure() -> dict[str, Any]:
    """Train the grids and fit the law to them."""
    runs: list[Run] = []
    grids: list[tuple[ScalingName, list[tuple[int, int]]]] = [("default", GRID), ("speedrun", SPEEDRUN_GRID)]
    with tempfile.TemporaryDirectory() as folder:
        text = prepared(Path(folder) / "data")
        for dial, grid in grids:
            for depth, tokens in grid:
                runs.append(train(dial, depth, tokens, text))
                print(runs[-1], flush=True)
    return conclude(runs)


def measure_larger() -> dict[str, Any]:
    """Train one run of `default` that is larger than those of the fit, and compare it with the law."""
    law, (depth, tokens) = expected.loss_law(), LARGER
    with tempfile.TemporaryDirectory() as folder:
        run = train("default", depth, tokens, prepared(Path(folder) / "data"))
    return {"task": "a run larger than those of the law", "depth": depth, **vars(run), "error": error(law, run)}


def conclude(runs: Sequence[Run]) -> dict[str, Any]:
    """Fit the law, write it into the package, and return its error with the runs."""
    errors = left_out_errors(runs)
    sizes, lengths = [run.weights for run in runs], [run.tokens for run in runs]
    law = replace(
        fit(runs), error=max(map(abs, errors)), fewest_weights=min(sizes), most_weights=max(sizes),
        fewest_tokens=min(lengths), most_tokens=max(lengths),
    )  # fmt: skip
    write_json(Path(expected.__file__).parent / expected.LAW_FILE, vars(law))
    rows = [vars(run) | {"left_out_error": error} for run, error in zip(runs, errors, strict=True)]
    return {"task": "the law of bits per byte that plan states", "law": vars(law), "runs": rows}
