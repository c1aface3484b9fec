"""A run of forty steps over several epochs, with dropout, a log, checkpoints and a hook that remembers.

Tests call `run`; one starts this file as a process and kills it: `python forty_steps.py FOLDER NAME SECONDS`,
where SECONDS is slept before each batch.
"""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from scratchlm.base.runfolder import Record, Timing
from scratchlm.base.signals import StopRequest
from scratchlm.data.batches import ArrayTokens, Batch, State
from scratchlm.model.config import NgramEmbeddingConfig, ValueEmbeddingConfig, X0ResidualConfig
from scratchlm.model.decoder import Decoder
from scratchlm.training.checkpoints import Checkpoints
from scratchlm.training.config import AdamWConfig, MuonConfig, SizeWarmupConfig, TrainingConfig
from scratchlm.training.fit import Pace, fit
from scratchlm.training.loop import BatchSource, Loop
from scratchlm.training.stages import training_batches
from scratchlm.weights.checkpoint import SavedModel
from toys import BYTE_VOCABULARY, byte_tokenizer, random_decoder, toy_config

STEPS, EVERY = 40, 7

PLAIN = TrainingConfig(
    steps=STEPS, batch_size=4, micro_batch_size=2, sequence_length=8, log_every=3, checkpoint_every=EVERY
)
SETTINGS = {
    "muon": PLAIN,
    "adamw": replace(PLAIN, optimizer=AdamWConfig()),
    "plain": replace(PLAIN, optimizer=AdamWConfig(implementation="plain")),
    "every part": replace(
        PLAIN,
        size_warmup=SizeWarmupConfig(fraction=0.5, batch_size=3, sequence_length=5),
        optimizer=MuonConfig(weight_decay=0.3, cautious=True),
        decay_with_lr=True,
        tail_average=0.4,
    ),
    "masked": replace(PLAIN, masked_fraction=0.5, hidden_fraction=0.3, ema_decay=0.8),
}
"""Each a run's configuration; 'every part' has every part that learns faster, in the model too."""


def batches_of(name: str) -> BatchSource:
    """Eleven batches an epoch, the last of them reaching into the next."""
    ids = np.random.default_rng(0).integers(0, 256, 8 * 4 * 11 + 30)
    return training_batches(ArrayTokens(ids), SETTINGS[name], 5)


def decoder_of(name: str, seed: int) -> Decoder:
    """Return the toy that the run of this name trains."""
    config = toy_config("default", vocabulary_size=BYTE_VOCABULARY, dropout=0.2)
    if name == "every part":
        config = replace(
            toy_config("speedrun", vocabulary_size=BYTE_VOCABULARY, dropout=0.2),
            x0_residual=X0ResidualConfig(),
            values=ValueEmbeddingConfig(),
            ngrams=NgramEmbeddingConfig(longest=3, rows=300),
        )
    return random_decoder(config, seed)


@dataclasses.dataclass
class Source:
    """The batches, slowed down, and a record of what was taken."""

    name: str
    pause: float = 0.0
    taken: list[tuple[int, torch.Tensor]] = dataclasses.field(default_factory=list)

    def __call__(self, state: Mapping[str, int] | None) -> Iterator[tuple[Batch, State]]:
        for batch, after in batches_of(self.name)(state):
            time.sleep(self.pause)
            self.taken.append((after["epoch"], batch.ids))
            yield batch, after


@dataclasses.dataclass(frozen=True, kw_only=True)
class Look(Record):
    kind = "look"
    calls: int
    sum: float


class Remembering:
    """Counts its calls and sums a weight, so that a lost or doubled call shows in the log."""

    name = "look"
    every = 5

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, step: int, decoder: Decoder) -> Look:
        self.calls += 1
        total = decoder.embedding.weight.sum().item()
        return Look(step=step, calls=self.calls, sum=total, timing=Timing(0.0, time.time()))

    def state(self) -> dict[str, Any]:
        return {"calls": self.calls}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.calls = state["calls"]


def run(
    folder: Path,
    name: str,
    *,
    resume: bool = False,
    pause: float = 0.0,
    stop: StopRequest | None = None,
    watcher: Any = None,
    seed: int = 0,
    pace: Pace | None = None,
) -> tuple[Decoder, Source]:
    """Train the toy; a resumed run starts from other weights, so that what is not restored shows."""
    decoder = decoder_of(name, seed)
    source = Source(name, pause)
    checkpoints = Checkpoints(folder / "checkpoints", SavedModel(decoder, byte_tokenizer()))
    fit(
        Loop(decoder, source, SETTINGS[name]),
        folder=folder,
        checkpoints=checkpoints,
        hooks=[Remembering()],
        stop=stop,
        watcher=watcher,
        pace=pace,
        resume=resume,
    )
    return decoder, source


if __name__ == "__main__":
    run(Path(sys.argv[1]), sys.argv[2], pause=float(sys.argv[3]))
