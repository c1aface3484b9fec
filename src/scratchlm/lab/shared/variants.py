"""Variants: small models that differ in one thing, trained on the same batches, each at its best learning rate.

The rates of Muon and AdamW are multiplied by one factor, which a search finds on validation text. A run that diverges
counts as one that guesses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from scratchlm.data.batches import ArrayTokens
from scratchlm.data.prepared import open_data
from scratchlm.evaluation.bits import token_nats
from scratchlm.lab.harness.steps import Steps
from scratchlm.lab.shared.frozen import search_rates
from scratchlm.lab.shared.networks import Evaluations, fit_windows
from scratchlm.model.decoder import Decoder
from scratchlm.pretraining.depth_scaling import load_recipe
from scratchlm.training.config import MuonConfig, TrainingConfig
from scratchlm.training.spikes import DivergenceError

LOOKS = 12
"""Evaluations of a training run."""
WATCHED = 2048
"""Tokens of each of them."""
BLOCK = 256
"""Tokens of a block of held-out text."""
FACTOR = 2.0
"""Factor between two learning rates of a search."""


@dataclass(frozen=True)
class Variant:
    """A model to train."""

    name: str
    make: Callable[[int, int], Decoder]
    """Makes it with random weights, by the vocabulary size and the seed."""
    training: Callable[[TrainingConfig], TrainingConfig] = lambda training: training


class VariantText:
    """The text of a folder: half of what is held out chooses learning rates, the other half is the test."""

    def __init__(self, data: Path, targets: int, length: int) -> None:
        self.tokenizer, self.train, held_out = open_data(data)
        ids = held_out.read(0, len(held_out)).astype(np.int64)
        half = len(ids) // 2
        self.valid, self.test = ArrayTokens(ids[:half][:targets]), ArrayTokens(ids[half:][:targets])
        self.length = length

    def nats(self, decoder: Decoder, tokens: ArrayTokens) -> np.ndarray:
        """Return the loss of each token."""
        return token_nats(decoder, self.tokenizer, tokens, length=self.length)

    def blocks(self, decoder: Decoder) -> list[float]:
        """Return the mean loss of blocks of the test text, in nats per token."""
        nats = self.nats(decoder, self.test)
        return [round(float(each.mean()), 9) for each in np.array_split(nats, max(2, len(nats) // BLOCK))]


def train_variant(
    variant: Variant, text: VariantText, rows: int, steps: int, factor: float, seed: int
) -> tuple[Decoder, Sequence[dict[str, Any]]]:
    """Train a model; return it and its losses during training, fewer of one that diverged."""
    decoder = variant.make(text.tokenizer.vocabulary_size, seed)
    recipe = load_recipe("default").training
    optimizer = recipe.optimizer
    assert isinstance(optimizer, MuonConfig)
    schedule = replace(recipe.schedule, warmup_steps=min(recipe.schedule.warmup_steps, steps // 5))
    training = replace(
        recipe,
        steps=steps,
        batch_size=rows,
        sequence_length=text.length,
        optimizer=optimizer.times(factor),
        schedule=schedule,
    )
    watched = ArrayTokens(text.test.read(0, min(WATCHED, len(text.test))))

    def loss(step: int, model: Decoder) -> dict[str, float]:
        return {"loss": round(float(text.nats(model, watched).mean()), 9)}

    curve = Evaluations(max(1, steps // LOOKS), loss)
    try:
        fit_windows(decoder, text.train, variant.training(training), seed, [curve])
    except DivergenceError:
        return variant.make(text.tokenizer.vocabulary_size, seed), curve.seen
    return decoder, curve.seen


def search_factor(variant: Variant, text: VariantText, rows: int, steps: int, seed: int) -> dict[str, Any]:
    """Return the factor of the learning rates with the lowest validation loss, and all that were tried."""

    def loss(factor: float) -> float:
        decoder, _ = train_variant(variant, text, rows, steps, factor, seed)
        return round(float(text.nats(decoder, text.valid).mean()), 9)

    tried = search_rates(loss, 1.0, FACTOR)
    best = min(tried, key=lambda factor: tried[factor])
    return {"factor": best, "inside": min(tried) < best < max(tried), "tried": {str(at): tried[at] for at in tried}}


def measure_variants(
    variants: Mapping[str, Variant], text: VariantText, rows: int, counts: tuple[int, int], seed: int, steps: Steps,
    more: Callable[[Decoder], dict[str, Any]] = lambda decoder: {},
) -> dict[str, dict[str, Any]]:  # fmt: skip
    """Search the learning rate of each variant, train it and test it; return what was found, with what `more` says.

    `counts` are the training steps of each run of a search, and of the run that is tested.
    """
    results: dict[str, dict[str, Any]] = {}
    for key, variant in variants.items():
        best = steps.shared.once(f"search {key}", search_factor, variant, text, rows, counts[0], seed)

        def work(variant: Variant = variant, factor: float = best["factor"]) -> dict[str, Any]:
            decoder, seen = train_variant(variant, text, rows, counts[1], factor, seed)
            return {
                "weights": decoder.parameter_count(), "curve": seen, "blocks": text.blocks(decoder), **more(decoder)
            }  # fmt: skip

        results[key] = {**best, **steps.once(f"train {key}", work)}
    return results


def curve_of(seen: Sequence[dict[str, Any]]) -> tuple[list[float], list[float]]:
    """Return the steps and losses of a curve."""
    return [each["step"] for each in seen], [each["loss"] for each in seen]
