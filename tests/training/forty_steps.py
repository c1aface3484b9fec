"""A run of forty steps over several epochs, with dropout, a log, checkpoints and a hook that remembers.

Tests call `run`; one starts this file as a process and kills it: `python forty_steps.py FOLDER OPTIMIZER SECONDS`,
where SECONDS is slept before each batch.
"""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from scratchlm.model.decoder import Decoder
from scratchlm.tokens.batches import ArrayTokens, Batch, State, WindowBatches
from scratchlm.training.checkpoints import Checkpoints
from scratchlm.training.config import AdamWConfig, MuonConfig, TrainingConfig
from scratchlm.training.loop import fit
from scratchlm.training.signals import StopRequest
from scratchlm.weights.checkpoint import SavedModel
from toys import BYTE_VOCABULARY, byte_tokenizer, random_decoder, toy_config

STEPS, EVERY = 40, 7
OPTIMIZERS = {"muon": MuonConfig(), "adamw": AdamWConfig(), "plain": AdamWConfig(implementation="plain")}


def window_batches() -> WindowBatches:
    """Eleven batches an epoch, the last of them reaching into the next."""
    ids = np.random.default_rng(0).integers(0, 256, 8 * 4 * 11 + 30)
    return WindowBatches(ArrayTokens(ids), rows=4, length=8, seed=5)


@dataclasses.dataclass
class Source:
    """The batches, slowed down, and a record of what was taken."""

    pause: float = 0.0
    taken: list[tuple[int, torch.Tensor]] = dataclasses.field(default_factory=list)

    def __call__(self, state: Mapping[str, int] | None) -> Iterator[tuple[Batch, State]]:
        for batch, after in window_batches()(state):
            time.sleep(self.pause)
            self.taken.append((after["epoch"], batch.ids))
            yield batch, after


class Remembering:
    """Counts its calls and sums a weight, so that a lost or doubled call shows in the log."""

    name = "look"
    every = 5

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, step: int, decoder: Decoder) -> Mapping[str, Any]:
        self.calls += 1
        return {"calls": self.calls, "sum": decoder.embedding.weight.sum().item(), "timing": {"clock": time.time()}}

    def state(self) -> dict[str, Any]:
        return {"calls": self.calls}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.calls = state["calls"]


def run(
    folder: Path,
    optimizer: str,
    *,
    resume: bool = False,
    pause: float = 0.0,
    stop: StopRequest | None = None,
    watcher: Any = None,
    seed: int = 0,
) -> tuple[Decoder, Source]:
    """Train the toy; a resumed run starts from other weights, so that what is not restored shows."""
    decoder = random_decoder(toy_config("default", vocabulary_size=BYTE_VOCABULARY, dropout=0.2), seed)
    config = TrainingConfig(
        steps=STEPS,
        batch_rows=4,
        micro_batch_rows=2,
        sequence_length=8,
        optimizer=OPTIMIZERS[optimizer],
        log_every=3,
        checkpoint_every=EVERY,
    )
    source = Source(pause)
    checkpoints = Checkpoints(folder / "checkpoints", SavedModel(decoder, byte_tokenizer()))
    fit(
        decoder,
        source,
        config,
        folder=folder,
        checkpoints=checkpoints,
        hooks=[Remembering()],
        stop=stop,
        watcher=watcher,
        resume=resume,
    )
    return decoder, source


if __name__ == "__main__":
    torch.set_num_threads(1)
    run(Path(sys.argv[1]), sys.argv[2], pause=float(sys.argv[3]))
