"""A very small decoder of which only some parts are trained, with the best optimizer for each choice of parts.

A frozen embedding is also a frozen output head. At its initial size (standard deviation 0.02), and with norms that do
not scale, logits cannot be much larger than 0.02 times the width, so that no other weights can predict text well. So
frozen embeddings are made ten times larger, except for one condition that measures this limit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from scratchlm.data.batches import ArrayTokens
from scratchlm.data.prepared import open_data
from scratchlm.evaluation.bits import token_nats
from scratchlm.lab.shared.networks import fit_windows
from scratchlm.model.config import DecoderConfig
from scratchlm.model.decoder import Decoder, build_decoder
from scratchlm.model.presets import qwen3_shaped
from scratchlm.training.config import AdamWConfig, MuonConfig, OptimizerConfig, ScheduleConfig, TrainingConfig

VOCABULARY, WIDTH, LAYERS, LENGTH, ROWS = 512, 32, 2, 64, 32
"""The model and its batches: small enough to be trained until more steps hardly help."""
LARGER = 10.0
"""Factor of a frozen embedding."""
RATE_STEP, MOST_RATES = 4.0, 7
"""Factor between two learning rates, and how many are tried at most."""


@dataclass(frozen=True)
class Part:
    """A choice of trained parameters."""

    trained: Callable[[str], bool]
    """Whether, by its name, a parameter is trained."""
    matrices: bool = True
    """Whether matrices of blocks are among them, which Muon can train."""
    scale: float = 1.0
    """Factor of the initial embedding."""
    rate: float = 0.02
    """The learning rate of AdamW to try first."""


PARTS: Mapping[str, Part] = {
    "everything": Part(lambda name: True),
    "embedding": Part(lambda name: name.startswith("embedding."), matrices=False),
    "all but the embedding": Part(lambda name: not name.startswith("embedding."), scale=LARGER),
    "feed-forward": Part(lambda name: ".feed_forward." in name, scale=LARGER),
    "attention": Part(lambda name: ".attention." in name, scale=LARGER),
    "norms": Part(lambda name: "norm" in name, matrices=False, scale=LARGER, rate=0.16),
    "feed-forward, small embedding": Part(lambda name: ".feed_forward." in name),
}
"""What is trained while the rest is frozen at random values."""


def shape_of(vocabulary_size: int) -> DecoderConfig:
    """Return the shape; its branches do not begin at zero, because frozen ones would pass no gradient on."""
    shape = qwen3_shaped(vocabulary_size, width=WIDTH, layers=LAYERS, context=LENGTH, head_dim=16)
    return replace(shape, zero_init_outputs=False)


class Frozen:
    """Trains parts of new models on the prepared text of a folder."""

    def __init__(self, data: Path, targets: int) -> None:
        """Open the text. Half of its held-out tokens choose the optimizer, the other half is the test."""
        self.tokenizer, self.text, held_out = open_data(data)
        ids = held_out.read(0, len(held_out)).astype(np.int64)
        half = len(ids) // 2
        self.valid = ArrayTokens(ids[:half][:targets])
        self.test = ArrayTokens(ids[half:][:targets])
        self.shape = shape_of(self.tokenizer.vocabulary_size)

    def build(self, part: Part, seed: int) -> Decoder:
        """Return a random model of which only one part takes gradients."""
        decoder = build_decoder(self.shape, seed)
        with torch.no_grad():
            decoder.embedding.weight.mul_(part.scale)
        for name, parameter in decoder.named_parameters():
            parameter.requires_grad_(part.trained(name))
        return decoder

    def train(self, part: Part, optimizer: OptimizerConfig, steps: int, seed: int) -> Decoder:
        """Train one part for a number of steps."""
        decoder = self.build(part, seed)
        schedule = ScheduleConfig(warmup_steps=10)
        length = min(LENGTH, len(self.text) // 2)
        training = TrainingConfig(
            steps=steps, batch_size=ROWS, sequence_length=length, optimizer=optimizer, schedule=schedule
        )
        fit_windows(decoder, self.text, training, seed)
        return decoder

    def blocks(self, decoder: Decoder) -> list[float]:
        """Return the mean loss of blocks of the test text, in nats per token."""
        nats = token_nats(decoder, self.tokenizer, self.test, length=LENGTH)
        return [round(float(each.mean()), 9) for each in np.array_split(nats, max(2, len(nats) // 128))]

    def search(self, name: str, steps: int, seed: int) -> dict[str, Any]:
        """Find the optimizer and the learning rate with the lowest validation loss for one part."""

        def loss(kind: str, rate: float) -> float:
            decoder = self.train(PARTS[name], optimizer_of(kind, rate), steps, seed)
            return float(token_nats(decoder, self.tokenizer, self.valid, length=LENGTH).mean())

        kinds = {"AdamW": PARTS[name].rate, **({"Muon": 0.02} if PARTS[name].matrices else {})}
        tried = {kind: search_rates(lambda rate, kind=kind: loss(kind, rate), first) for kind, first in kinds.items()}  # type: ignore[misc]
        kind = min(tried, key=lambda each: min(tried[each].values()))
        rate = min(tried[kind], key=lambda each: tried[kind][each])
        inside = min(tried[kind]) < rate < max(tried[kind])
        losses = {each: {str(rate): of[rate] for rate in sorted(of)} for each, of in tried.items()}
        return {"kind": kind, "rate": rate, "inside": inside, "tried": losses}


def optimizer_of(kind: str, rate: float) -> OptimizerConfig:
    """Return an optimizer without weight decay; beside Muon, AdamW trains what is no matrix of a block, at its rate."""
    adam = AdamWConfig(learning_rate=rate, weight_decay=0.0)
    return MuonConfig(learning_rate=rate, adam=adam) if kind == "Muon" else adam


def search_rates(loss: Callable[[float], float], first: float, factor: float = RATE_STEP) -> dict[float, float]:
    """Try three rates around the first one, and further ones until the best lies between two others."""
    losses = {first * factor**at: 0.0 for at in (-1, 0, 1)}
    losses = {rate: loss(rate) for rate in losses}
    while len(losses) < MOST_RATES:
        best = min(losses, key=lambda rate: losses[rate])
        if best == min(losses):
            losses[best / factor] = loss(best / factor)
        elif best == max(losses):
            losses[best * factor] = loss(best * factor)
        else:
            break
    return losses
