"""Train a toy plainly, compiled, and compiled in two parts: `python compiled_steps.py` prints what ended how, as JSON.

A process of its own, because torch.compile does not see through the shape checks that tests switch on.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import math
import tempfile
from pathlib import Path

import torch

from scratchlm.base.errors import Interrupted
from scratchlm.base.signals import StopRequest
from scratchlm.data.batches import ArrayTokens, Batch
from scratchlm.model.decoder import build_decoder
from scratchlm.model.network import SequenceModel
from scratchlm.training.checkpoints import Checkpoints
from scratchlm.training.compiling import compiled_blocks
from scratchlm.training.config import TrainingConfig
from scratchlm.training.fit import fit
from scratchlm.training.loop import Loop, RuntimeConfig, StepRecord
from scratchlm.training.loss import next_token_loss
from scratchlm.training.stages import training_batches
from scratchlm.weights.checkpoint import SavedModel
from toys import BYTE_VOCABULARY, byte_tokenizer, random_ids, toy_config

IDS = random_ids(1, 3000, vocabulary=20)[0].numpy()
CONFIG = TrainingConfig(steps=12, batch_size=4, sequence_length=16, checkpoint_every=0)


class Losses:
    def __init__(self, stop: StopRequest, at: int) -> None:
        self.seen: list[float] = []
        self.stop, self.at = stop, at

    def step(self, record: StepRecord) -> None:
        self.seen.append(record.loss)
        if record.step == self.at:
            self.stop()

    def note(self, kind: str, step: int, values: object) -> None:
        raise AssertionError(kind)


def train(compiled: bool, dropout: float, folder: Path, stop_at: int = 0) -> tuple[list[float], torch.Tensor]:
    config = toy_config("speedrun", vocabulary_size=BYTE_VOCABULARY, dropout=dropout)
    decoder, stop = build_decoder(config), StopRequest()
    losses = Losses(stop, stop_at)
    training = dataclasses.replace(CONFIG, compile=compiled)
    batches = training_batches(ArrayTokens(IDS), training, 1)
    loop = Loop(decoder, batches, training, runtime=RuntimeConfig(dtype=torch.bfloat16))
    checkpoints = Checkpoints(folder, SavedModel(decoder, byte_tokenizer()))
    try:
        fit(loop, checkpoints=checkpoints, watcher=losses, stop=stop, resume=True)
    except Interrupted:
        return losses.seen, train(compiled, dropout, folder)[1]
    assert all("forward" not in vars(block) for block in decoder.blocks)
    return losses.seen, decoder.head_weight.detach()


def packed(compiled: bool) -> list[float]:
    """Return loss and gradient norms of rows that hold three documents each."""
    decoder = build_decoder(toy_config("speedrun", vocabulary_size=BYTE_VOCABULARY)).train()
    ids, targets = random_ids(3, 16), random_ids(3, 16, seed=2)
    documents = torch.tensor([0] * 5 + [1] * 4 + [2] * 7).expand(3, -1)
    with compiled_blocks(decoder) if compiled else contextlib.nullcontext():
        loss = next_token_loss(decoder, Batch(ids, targets, documents))
        loss.backward()
    return [loss.item(), *(float(p.grad.norm()) for p in decoder.parameters() if p.grad is not None)]


def graphs_of_a_skipped_batch(folder: Path) -> int:
    """Return how many graphs are compiled to tell what is in a batch that was too bad."""
    decoder, training = build_decoder(toy_config("speedrun", vocabulary_size=BYTE_VOCABULARY)), CONFIG
    factors, told = iter((1.0, math.nan)), []

    def loss(network: SequenceModel, batch: Batch) -> torch.Tensor:
        return next_token_loss(network, batch) * next(factors)

    batches = training_batches(ArrayTokens(IDS), training, 1)
    loop = Loop(decoder, batches, dataclasses.replace(training, compile=True), loss=loss)
    loop.skipped, loop.describe = folder, lambda batch, losses: told.append(losses) or {}
    with compiled_blocks(decoder):
        graphs = []
        for batch, _ in itertools.islice(batches(None), 2):
            loop.train_step(batch)
            graphs.append(torch._dynamo.utils.counters["stats"]["unique_graphs"])
    assert len(told) == 1
    assert graphs[0] > 0
    return graphs[1] - graphs[0]


if __name__ == "__main__":
    found: dict[str, object] = {"packed": [packed(compiled) for compiled in (False, True)]}
    with tempfile.TemporaryDirectory() as folder:
        found["graphs of a skipped batch"] = graphs_of_a_skipped_batch(Path(folder))
        for dropout in (0.0, 0.2):
            parts = [Path(folder) / f"{dropout}-{name}" for name in ("plain", "compiled", "cut")]
            plain, _ = train(False, dropout, parts[0])
            whole, end = train(True, dropout, parts[1])
            _, resumed = train(True, dropout, parts[2], stop_at=3)
            found[str(dropout)] = {"plain": plain, "compiled": whole, "resumed alike": torch.equal(end, resumed)}
    print(json.dumps(found))
