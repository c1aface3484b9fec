"""What the order of a context is worth, and what is only the confusion of a model that never saw shuffled text.

A model trained on ordered text expects order, so its loss on a shuffled context is that of a wrong expectation. Here
the model is trained further, on contexts shuffled within windows of several widths, some of them in order. It predicts
only the token after the context, and the first token of a row names the width. So one model meets every condition as
it was trained, and its losses differ by what the order is worth to it. The windows divide the context: with width 2 the
last two tokens may change places, and so on. With the width of the whole context only the bag of its tokens is left.
`bag_nats` predicts from that bag by counts, without a network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from scratchlm.data.batches import IGNORED, Batch, Batches, Order, Tokens
from scratchlm.model.decoder import Decoder
from scratchlm.runs.depth_scaling import load_recipe
from scratchlm.training.config import AdamWConfig, MuonConfig, ScheduleConfig
from scratchlm.training.fit import fit
from scratchlm.training.loop import Loop, RuntimeConfig

CONTEXT = 16
"""Tokens of a context whose order is tested."""
WIDTHS = (1, 2, 4, 8, 16)
"""Widths of the windows within which tokens are shuffled; 1 keeps the order."""
ROWS, EVALUATED = 256, 64
"""Rows of a batch in training, and rows that are evaluated together."""
RATE = 0.5
"""Learning rates of the further training, as a fraction of those of pretraining."""
WEIGHTS = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8)
"""Weights of the single tokens' frequencies that `bag_nats` tries."""


def shuffled(contexts: Int[Tensor, "N K"], width: int, draw: np.random.Generator) -> Int[Tensor, "N K"]:
    """Shuffle each row within consecutive windows of `width` tokens, which divides K."""
    rows, length = contexts.shape
    order = draw.random((rows, length // width, width)).argsort(-1)
    places = order + np.arange(0, length, width)[None, :, None]
    return contexts.gather(1, torch.from_numpy(places.reshape(rows, length)))


def named(contexts: Int[Tensor, "N K"], width: int) -> Int[Tensor, "N K1"]:
    """Put the id that names a width before each row."""
    return torch.cat([torch.full((len(contexts), 1), WIDTHS.index(width)), contexts], 1)


@dataclass(frozen=True)
class ShuffledBatches(Batches):
    """Rows of a context, shuffled within windows of a width drawn for each row; only the token after it is a target."""

    tokens: Tokens
    rows: int
    seed: int

    def _batch(self, order: Order) -> Batch:
        before = order.state()
        starts = order.take(self.rows)
        table = torch.from_numpy(np.stack([self.tokens.read(at, at + CONTEXT + 1) for at in starts]).astype(np.int64))
        draw = np.random.default_rng([self.seed, before["epoch"], before["index"], 1])
        kinds = draw.integers(0, len(WIDTHS), self.rows)
        ids = torch.zeros(self.rows, CONTEXT + 1, dtype=torch.int64)
        for kind, width in enumerate(WIDTHS):
            chosen = torch.from_numpy(kinds == kind)
            ids[chosen] = named(shuffled(table[chosen, :-1], width, draw), width)
        targets = torch.full_like(ids, IGNORED)
        targets[:, -1] = table[:, -1]
        return Batch(ids, targets)

    def _order(self, epoch: int) -> np.ndarray:
        draw = np.random.default_rng([self.seed, epoch])
        first = int(draw.integers(0, CONTEXT + 1))
        return draw.permutation(np.arange(first, len(self.tokens) - CONTEXT, CONTEXT + 1))


def train_on_shuffled(decoder: Decoder, tokens: Tokens, steps: int, seed: int) -> None:
    """Train a pretrained model further on shuffled contexts, at a part of the learning rates of pretraining."""
    recipe = load_recipe("default", decoder.config.layers).training
    optimizer: AdamWConfig | MuonConfig = replace(recipe.optimizer, learning_rate=RATE * recipe.optimizer.learning_rate)
    if isinstance(optimizer, MuonConfig):
        adam = replace(optimizer.adam, learning_rate=RATE * optimizer.adam.learning_rate)
        optimizer = replace(optimizer, adam=adam)
    schedule = ScheduleConfig("linear", warmup_steps=10)
    training = replace(recipe, steps=steps, batch_size=ROWS, optimizer=optimizer, schedule=schedule)
    fit(Loop(decoder, ShuffledBatches(tokens, ROWS, seed), training, runtime=RuntimeConfig(seed=seed)))


@torch.no_grad()
def last_nats(decoder: Decoder, windows: Int[Tensor, "N T"]) -> Float[ndarray, " N"]:
    """Return the loss in nats of each window's last token given the others."""
    decoder.eval()
    found = []
    for start in range(0, len(windows), EVALUATED):
        rows = windows[start : start + EVALUATED]
        logits = decoder.logits(decoder.hidden(rows[:, :-1])[:, -1]).float()
        found.append(logits.logsumexp(-1) - logits.gather(1, rows[:, -1:]).squeeze(1))
    return torch.cat(found).double().numpy()


def nats_by_width(decoder: Decoder, windows: Int[Tensor, "N T"], names_width: bool) -> dict[str, Float[ndarray, " N"]]:
    """Return the loss of each window's last token after its context, shuffled within windows of each width.

    Every model meets the same shuffles. `names_width` is for a model trained by `train_on_shuffled`.
    """
    found = {}
    for width in WIDTHS:
        context = shuffled(windows[:, -CONTEXT - 1 : -1], width, np.random.default_rng(width))
        rows = named(context, width) if names_width else context
        found[str(width)] = last_nats(decoder, torch.cat([rows, windows[:, -1:]], 1))
    return found


def bag_nats(tokens: Sequence[int] | ndarray, windows: Int[Tensor, "N T"], size: int) -> Float[ndarray, " N"]:
    """Return the loss of each window's last token from the bag of the tokens before it, by counts of training tokens.

    The probability is a mixture: the frequency of the token, and the mean over the tokens of the bag of how often it
    occurred within the next `CONTEXT` tokens of them. The last tenth of the training tokens chooses its weight. Needs
    about 16 bytes for each pair of the `size` tokens of the vocabulary.
    """
    ids = np.asarray(tokens, np.int64)
    cut = len(ids) - max(CONTEXT + 1, len(ids) // 10)
    learned, held = ids[:cut], ids[cut:]
    single = (np.bincount(learned, minlength=size) + 0.5) / (len(learned) + 0.5 * size)
    after = np.zeros(size * size, np.float32)
    for distance in range(1, CONTEXT + 1):
        after += np.bincount(learned[:-distance] * size + learned[distance:], minlength=size * size)
    table = after.reshape(size, size)
    table /= np.maximum(table.sum(1, keepdims=True), 1)
    starts = np.arange(0, len(held) - CONTEXT, max(1, (len(held) - CONTEXT) // 2000))
    trial = np.stack([held[at : at + CONTEXT + 1] for at in starts])
    losses = {weight: _mixed(trial, single, table, weight) for weight in WEIGHTS}
    weight = min(losses, key=lambda weight: float(losses[weight].mean()))
    return _mixed(windows[:, -CONTEXT - 1 :].numpy(), single, table, weight)


def _mixed(
    rows: Int[ndarray, "N T"], single: Float[ndarray, " V"], table: Float[ndarray, "V V"], weight: float
) -> Float[ndarray, " N"]:
    bag = table[rows[:, :-1], rows[:, -1:]].mean(1)
    found: Float[ndarray, " N"] = -np.log(weight * single[rows[:, -1]] + (1 - weight) * bag)
    return found
