"""What a pretraining run looks at on its way: held-out text and samples. Each owns its randomness."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from scratchlm.base import runfolder
from scratchlm.base.energy import EnergyCounter
from scratchlm.base.files import write_text
from scratchlm.base.runfolder import Evaluation, Timing
from scratchlm.data.batches import ArrayTokens, Tokens
from scratchlm.evaluation.bits import HeldOutLoss, held_out_loss
from scratchlm.generation.assembling import assemble
from scratchlm.generation.config import SamplingConfig
from scratchlm.generation.generate import generate_ids
from scratchlm.model.decoder import Decoder
from scratchlm.tokens.base import Tokenizer


class Stateless:
    """A hook whose answer depends on the step and the model alone."""

    def state(self) -> dict[str, Any]:
        """Return nothing to remember."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take back nothing."""


@dataclass
class Energy(Stateless):
    """Looks at the counters of energy, which begin again now and then; logs nothing."""

    name = "energy"
    counter: EnergyCounter
    every: int

    def __call__(self, step: int, decoder: Decoder) -> None:
        """Look."""
        self.counter.look()


@dataclass
class HeldOut(Stateless):
    """Scores held-out text: its beginning during the run, after the last step all of it, or `last_limit` tokens."""

    name = "evaluation"
    tokenizer: Tokenizer
    corpora: Mapping[str, Tokens]
    """Held-out text of each corpus, by its name."""
    weights: Sequence[float]
    """How much each counts in the loss of all."""
    every: int
    last_step: Callable[[], int]
    """Returns the last step of the run, which a revision may move."""
    limit: int
    length: int
    dtype: torch.dtype
    last_limit: int | None = None

    def __call__(self, step: int, decoder: Decoder) -> Evaluation:
        """Return loss and bits per byte: of several corpora each, and their means by weight."""
        started = time.perf_counter()
        limit = self.last_limit if step == self.last_step() else self.limit
        losses = {name: self._loss(decoder, tokens, limit) for name, tokens in self.corpora.items()}
        pairs = list(zip(self.weights, losses.values(), strict=True))
        several = {
            name: {"loss": each.loss, "bits_per_byte": each.bits_per_byte, "tokens": each.tokens}
            for name, each in losses.items()
        }
        return Evaluation(
            step=step,
            loss=sum(weight * each.loss for weight, each in pairs),
            bits_per_byte=sum(weight * each.bits_per_byte for weight, each in pairs),
            tokens=sum(each.tokens for each in losses.values()),
            corpora=several if len(several) > 1 else None,
            timing=Timing.since(started),
        )

    def _loss(self, decoder: Decoder, tokens: Tokens, limit: int | None) -> HeldOutLoss:
        """Return the loss on the beginning of a text; corpora share the tokens that may be read."""
        total = len(tokens)
        count = total if limit is None else min(max(1, limit // len(self.corpora)), total)
        read = tokens if count == total else ArrayTokens(tokens.read(0, count))
        return held_out_loss(decoder, self.tokenizer, read, length=self.length, dtype=self.dtype)


@dataclass
class WriteSample(Stateless):
    """Writes a short text with the model as it is, into `samples/` and the log.

    With `seconds` a sample is cut after them. It then depends on the clock, so only runs that are never resumed may
    have it.
    """

    name = "sample"
    tokenizer: Tokenizer
    folder: Path
    every: int
    seed: int
    max_tokens: int = 60
    seconds: float = math.inf
    clock: Callable[[], float] = time.monotonic

    def __call__(self, step: int, decoder: Decoder) -> runfolder.Sample:
        """Return the text of the sample."""
        end, deadline = self.tokenizer.end_of_text, self.clock() + self.seconds
        start = [end if end is not None else 0]
        stop = frozenset() if end is None else frozenset({end})
        ids: list[int] = []
        for id in generate_ids(decoder, start, SamplingConfig(max_tokens=self.max_tokens, seed=self.seed), stop):
            ids.append(id)
            if self.clock() > deadline:
                break
        text = "".join(assemble(ids, self.tokenizer))
        write_text(self.folder / f"{step:08d}.txt", text + "\n")
        return runfolder.Sample(step=step, text=text)
