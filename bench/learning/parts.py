"""Ablations of the recipe: short character-level runs without each part, or with it, at equal steps, over all seeds.

The score is the loss on the last 5% of the training part. A gain is a difference of means over seeds, positive if the
part helps. Milliseconds per step are medians; the machine varies by ten percent.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from bench.learning.shakespeare import held_out_nats, read_ids

from scratchlm.base.device import faster_dtype
from scratchlm.data.batches import ArrayTokens
from scratchlm.model import config as shape
from scratchlm.model.config import DecoderConfig
from scratchlm.model.decoder import build_decoder
from scratchlm.pretraining.depth_scaling import load_recipe
from scratchlm.training.config import AdamWConfig, ScheduleConfig, SizeWarmupConfig, TrainingConfig
from scratchlm.training.loop import Loop, RuntimeConfig
from scratchlm.training.stages import training_batches


@dataclass(frozen=True)
class Variant:
    """One difference from the recipe; `taken` says whether the recipe has the part."""

    part: str
    taken: bool
    model: Callable[[DecoderConfig], DecoderConfig] = lambda config: config
    training: Callable[[TrainingConfig], TrainingConfig] = lambda config: config


def _with(**changes: Any) -> Callable[[Any], Any]:
    return lambda config: replace(config, **changes)


def _muon(**changes: Any) -> Callable[[TrainingConfig], TrainingConfig]:
    return lambda config: replace(config, optimizer=replace(config.optimizer, **changes))


def _ngrams(longest: int) -> Callable[[DecoderConfig], DecoderConfig]:
    return lambda config: replace(config, ngrams=replace(config.ngrams, longest=longest))


VARIANTS = (
    Variant("n-gram embeddings", True, _with(ngrams=shape.NoNgramsConfig())),
    Variant("n-grams beyond pairs", True, _ngrams(2)),
    Variant("n-grams of six", False, _ngrams(6)),
    Variant("value embeddings", False, _with(values=shape.ValueEmbeddingConfig())),
    Variant("embedding shortcut", False, _with(x0_residual=shape.X0ResidualConfig())),
    Variant("a head that looks ahead", False, _with(multi_token_prediction=shape.MultiTokenPredictionConfig())),
    Variant("logit softcap", True, _with(logit_softcap=None)),
    Variant("zero-initialised projections", True, _with(zero_init_outputs=False)),
    Variant("ReLU squared instead of SwiGLU", True, _with(feed_forward=shape.SwiGLUConfig(hidden=341))),
    Variant("a head of its own", True, _with(tied=True)),
    Variant("norms without weights", True, lambda c: replace(c, norm=replace(c.norm, weight=True))),
    Variant("Muon instead of AdamW", True, training=_with(optimizer=AdamWConfig(learning_rate=4e-3))),
    Variant("Muon's momentum of 0.8 instead of 0.95", True, training=_muon(momentum=0.95)),
    Variant("four Newton-Schulz steps instead of five", True, training=_muon(steps=5)),
    Variant("weight decay of 0.3", False, training=_muon(weight_decay=0.3)),
    Variant("weight decay of 0.3, cautious", False, training=_muon(weight_decay=0.3, cautious=True)),
    Variant("weight decay of 0.3, falling with the rate", False,
            training=lambda c: replace(_muon(weight_decay=0.3)(c), decay_with_lr=True)),
    Variant("short sequences first", False, training=_with(size_warmup=SizeWarmupConfig(0.4, 64, 32))),
    Variant("growing batch", False, training=_with(size_warmup=SizeWarmupConfig(0.4, 8, 128))),
    Variant("average of the last tenth", False, training=_with(tail_average=0.1)),
    Variant("a way down of 60% instead of 20%", True, training=_with(schedule=ScheduleConfig(decay_fraction=0.2))),
)  # fmt: skip


def run(variant: Variant | None, seed: int) -> tuple[float, float]:
    """Return the loss of one run and its milliseconds per step."""
    train, _, symbols = read_ids()
    cut = int(0.95 * len(train))
    recipe = load_recipe("characters-quick")
    model = replace(recipe.model, vocabulary_size=symbols)
    training = replace(recipe.training, evaluate_every=0, sample_every=0, checkpoint_every=0)
    if variant is not None:
        model, training = variant.model(model), variant.training(training)
    decoder = build_decoder(model, seed)
    batches = training_batches(ArrayTokens(train[:cut]), training, seed)
    loop = Loop(decoder, batches, training, runtime=RuntimeConfig(dtype=faster_dtype(), seed=seed))
    seconds = [record.seconds for record in loop.steps()]
    loss = held_out_nats(decoder, train[cut:], int(train[cut - 1]), training.sequence_length, torch.float32)
    return loss, 1e3 * statistics.median(seconds)


def measure(seeds: Sequence[int]) -> dict[str, Any]:
    """Run the recipe and every variant once for each seed; the outer loop is over seeds, so drift affects all alike."""
    found: dict[str, list[tuple[float, float]]] = {}
    for seed in seeds:
        for variant in (None, *VARIANTS):
            name = "the recipe" if variant is None else variant.part
            found.setdefault(name, []).append(run(variant, seed))
            print(f"{name}, seed {seed}: {found[name][-1][0]:.4f}", flush=True)
    recipe = found.pop("the recipe")
    base = statistics.mean(loss for loss, _ in recipe)
    rows = []
    for variant in VARIANTS:
        losses, times = zip(*found[variant.part], strict=True)
        worse = statistics.mean(losses) - base
        gain = worse if variant.taken else -worse
        told = {"part": variant.part, "taken": variant.taken, "gain": gain, "losses": losses}
        rows.append(told | {"ms_a_step": statistics.median(times)})
    return {
        "task": "parts of the recipe characters-quick, nats on the tail of the training part",
        "recipe": {"losses": [loss for loss, _ in recipe], "ms_a_step": statistics.median(ms for _, ms in recipe)},
        "parts": rows,
    }
