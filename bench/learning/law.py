"""Scaling law of `scratchlm plan`: bits per byte from a run's parameters and tokens, and its error.

`scratchlm.pretraining.scaling_law` has its form. It is fitted to short complete runs on the books, scored on their last
5%. The reported error is the largest in leave-one-out validation. The coefficients become part of the package.
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
from scratchlm.pretraining import scaling_law as expected
from scratchlm.pretraining.depth_scaling import ScalingName, at_depth
from scratchlm.pretraining.scaling_law import USUAL_STEP, LossLaw, MeasuredRun, fit_law
from scratchlm.training.fit import fit as train_whole
from scratchlm.training.loop import Loop, RuntimeConfig
from scratchlm.training.optimizer import matrix_weights
from scratchlm.training.stages import training_batches

GRID = [*((depth, tokens) for depth in (2, 4, 6) for tokens in (250_000, 1_000_000, 4_000_000)), (8, 1_000_000)]
SPEEDRUN_GRID = [(4, 1_000_000), (6, 1_000_000), (6, 4_000_000)]
BATCH_GRID = [(2, 8, 256), (2, 32, 256), (2, 32, 512), (4, 32, 256), (4, 32, 512), (6, 32, 512)]
"""Depth, rows and length of runs of a million tokens with other batches than the recipe has at that depth."""
LARGER = [(9, 1_000_000), (10, 1_000_000)]
"""Depth and tokens of runs that are larger than all that the law was fitted to, with the recipe's batch there."""
EFFICIENCIES = np.arange(0.8, 3.01, 0.02)
CRITICAL = np.geomspace(500, 500_000, 121)
"""What is tried for how much more a token teaches the speedrun, and for the critical batch in tokens."""


@dataclass(frozen=True)
class Run:
    """A finished run: its depth scaling rule, weights, tokens in all and a step, and loss."""

    dial: ScalingName
    weights: int
    tokens: int
    tokens_a_step: int
    bits_per_byte: float


def fit(runs: Sequence[Run]) -> LossLaw:
    """Fit the law to the runs of `default` with its usual steps, then the coefficients of the speedrun and of steps."""
    usual = [run for run in runs if run.dial == "default" and run.tokens_a_step == USUAL_STEP["default"]]
    law = fit_law([MeasuredRun(run.weights, run.tokens, run.bits_per_byte) for run in usual])
    fast = [run for run in runs if run.dial == "speedrun"]
    law = _nearest([replace(law, speedrun=round(float(e), 4)) for e in EFFICIENCIES], fast) if fast else law
    other = [run for run in runs if run.dial == "default" and run not in usual]
    return _nearest([replace(law, critical=round(float(tokens))) for tokens in CRITICAL], other) if other else law


def _nearest(laws: Sequence[LossLaw], runs: Sequence[Run]) -> LossLaw:
    return min(laws, key=lambda law: sum(error(law, run) ** 2 for run in runs))


def error(law: LossLaw, run: Run) -> float:
    """Return the error of the law in bits per byte, positive if it predicts too much."""
    return law.bits(run.dial, run.weights, run.tokens, run.tokens_a_step) - run.bits_per_byte


def left_out_errors(runs: Sequence[Run]) -> list[float]:
    """Return for each run the error of the law fitted to all others."""
    return [error(fit([other for other in runs if other is not run]), run) for run in runs]


def train(
    dial: ScalingName, depth: int, tokens: int, text: Text, seed: int = 0, batch: tuple[int, int] | None = None
) -> Run:
    """Train a run on `tokens` tokens and score it; `batch` replaces the recipe's rows and their length."""
    model, training = at_depth(depth, dial)
    rows, length = batch or (training.batch_size, training.sequence_length)
    steps = round(tokens / (rows * length))
    training = replace(training, batch_size=rows, sequence_length=length, steps=steps, evaluate_every=0, sample_every=0,
                       checkpoint_every=0)  # fmt: skip
    shape = replace(model, vocabulary_size=text.tokenizer.vocabulary_size, context=max(model.context, length))
    decoder = build_decoder(shape, seed)
    batches = training_batches(text.train, training, seed)
    train_whole(Loop(decoder, batches, training, runtime=RuntimeConfig(dtype=faster_dtype(), seed=seed)))
    score = held_out_loss(decoder, text.tokenizer, text.held_out, length=length, dtype=faster_dtype())
    return Run(dial, matrix_weights(decoder), steps * rows * length, rows * length, score.bits_per_byte)


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
        for depth, *batch in BATCH_GRID:
            runs.append(train("default", depth, 1_000_000, text, batch=(batch[0], batch[1])))
            print(runs[-1], flush=True)
    return conclude(runs)


def measure_larger() -> dict[str, Any]:
    """Train runs of `default` that are larger than those of the fit, and compare them with the law."""
    law, runs = expected.loss_law(), []
    with tempfile.TemporaryDirectory() as folder:
        text = prepared(Path(folder) / "data")
        for depth, tokens in LARGER:
            run = train("default", depth, tokens, text)
            runs.append({"depth": depth, **vars(run), "error": error(law, run)})
            print(runs[-1], flush=True)
    return {"task": "runs larger than those of the law", "runs": runs}


def conclude(runs: Sequence[Run]) -> dict[str, Any]:
    """Fit the law, write it into the package, and return its error with the runs."""
    errors = left_out_errors(runs)
    sizes, lengths, steps = zip(*((run.weights, run.tokens, run.tokens_a_step) for run in runs), strict=True)
    law = replace(
        fit(runs), error=max(map(abs, errors)), fewest_weights=min(sizes), most_weights=max(sizes),
        fewest_tokens=min(lengths), most_tokens=max(lengths), smallest_step=min(steps), largest_step=max(steps),
    )  # fmt: skip
    write_json(Path(expected.__file__).parent / expected.LAW_FILE, vars(law))
    rows = [vars(run) | {"left_out_error": error} for run, error in zip(runs, errors, strict=True)]
    return {"task": "the law of bits per byte that plan states", "law": vars(law), "runs": rows}
