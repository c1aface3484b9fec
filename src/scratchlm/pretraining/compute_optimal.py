"""Which depth is expected to learn most in a given time on this machine.

Small models read more tokens in that time, large ones learn more from each: a short probe measures the first, the law
of `pretraining.scaling_law` states the second, and the best depth lies between.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from scratchlm.data.batches import ArrayTokens
from scratchlm.model.config import DecoderConfig
from scratchlm.model.decoder import build_decoder, outline
from scratchlm.pretraining.depth_scaling import MAX_DEPTH, load_recipe
from scratchlm.pretraining.scaling_law import MOST_PASSES, Fitted, loss_law, worth_of
from scratchlm.training.config import TrainingConfig
from scratchlm.training.loop import RuntimeConfig
from scratchlm.training.optimizer import matrix_weights
from scratchlm.training.probing import PROBE
from scratchlm.training.profiling import SECONDS_A_MINUTE
from scratchlm.training.stages import measure_step

SHALLOWEST, PAST_BEST = 2, 2
"""The first depth that is tried, and how many depths in a row must be expected to do worse before no other is."""
FEWEST_PROBED = 1 + PAST_BEST
"""Depths that are tried whatever comes out, and so divide the time for probes."""


@dataclass(frozen=True)
class Size:
    """How far a depth comes in the time."""

    depth: int
    parameters: int
    tokens_per_second: float
    """Without compiled blocks, so that a probe takes seconds."""
    tokens: int
    """What it reads in the time."""
    expected_bits_per_byte: float
    measured: bool
    """Whether runs as small and as large as this one were measured; else the loss is an extrapolation."""
    probed: bool = True
    """Whether its steps were timed; else the speed follows from the FLOPs of the last size that was."""


def sizes_within(
    recipe: Fitted,
    minutes: float,
    *,
    vocabulary_size: int,
    runtime: RuntimeConfig,
    budget: float = PROBE,
    clock: Callable[[], float] = time.perf_counter,
    text: int | None = None,
    deepest: int = 0,
) -> list[Size]:
    """Return the sizes from the shallowest to a little past the best, and to the depth `deepest` at least.

    Probes take about `budget` seconds together; sizes that come after are judged by their FLOPs. `text` is how many
    tokens of text there are, where that is known: what is read again teaches less.
    """
    law, end, each, flops_per_second = loss_law(), clock() + budget, budget / FEWEST_PROBED, 0.0
    sizes: list[Size] = []
    for depth in range(SHALLOWEST, MAX_DEPTH + 1):
        scaled = load_recipe(recipe, depth)
        training = dataclasses.replace(scaled.training, compile=False)
        model = dataclasses.replace(scaled.model, vocabulary_size=vocabulary_size)
        decoder = outline(model)
        step = training.batch_size * training.sequence_length
        flops = decoder.flops_per_token(training.sequence_length) * step
        probed = not flops_per_second or end - clock() > each / 2
        if probed:
            ids = random_tokens(model, training)
            seconds = measure_step(build_decoder(model), ids, training, runtime, each)
            flops_per_second = flops / seconds
        else:
            seconds = flops / flops_per_second
        tokens = max(1, int(step * SECONDS_A_MINUTE * minutes / seconds))  # less than a step is reported as it is
        weights = matrix_weights(decoder)
        bits = law.bits(recipe, weights, worth_of(tokens, text), step)
        measured = law.covers(weights, tokens, step) and (text is None or tokens <= MOST_PASSES * text)
        sizes.append(Size(depth, decoder.parameter_count(), step / seconds, tokens, bits, measured, probed))
        if depth >= deepest and depth - best_of(sizes).depth >= PAST_BEST:
            break
    return sizes


def best_of(sizes: list[Size]) -> Size:
    """Return the size with the lowest expected loss."""
    return min(sizes, key=lambda size: size.expected_bits_per_byte)


def random_tokens(model: DecoderConfig, training: TrainingConfig) -> ArrayTokens:
    """Return random ids, enough for the rows of a probe."""
    longest = max(training.sequence_length, getattr(training.size_warmup, "sequence_length", 0))
    return ArrayTokens(np.random.default_rng(0).integers(0, model.vocabulary_size, 64 * longest + 1))
