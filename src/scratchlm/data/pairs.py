"""Batches for encoder-decoders (source and target) and for encoders (masked language modelling)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from scratchlm.base.errors import UserError
from scratchlm.data.batches import IGNORED, Batch, Batches, Order, length_bucketed_order, padded


@dataclass(frozen=True)
class SourceTargetBatches(Batches):
    """Rows of a source, then a start token, then its target, which ends with the same token.

    `documents` of a batch is 0 at the source, 1 from the start token on, 2 at padding; targets are predicted from the
    start token on. Pairs of similar length share a batch, in a new random order each epoch.
    """

    pairs: Sequence[tuple[Sequence[int], Sequence[int]]]
    rows: int
    seed: int
    end: int
    """Id of the token that starts and ends a target."""
    pad: int

    def __post_init__(self) -> None:
        """Refuse pairs without a source."""
        if not self.pairs or not all(len(source) for source, _ in self.pairs):
            raise UserError("pairs: a source has no token; give sentences on both sides")

    def _batch(self, order: Order) -> Batch:
        return source_target_batch([self.pairs[at] for at in order.take(self.rows)], self.end, self.pad)

    def _order(self, epoch: int) -> np.ndarray:
        return length_bucketed_order([sum(map(len, pair)) for pair in self.pairs], self.rows, self.seed, epoch)


def source_target_batch(pairs: Sequence[tuple[Sequence[int], Sequence[int]]], end: int, pad: int) -> Batch:
    """Make a batch of pairs."""
    ids, _ = padded([[*source, end, *target] for source, target in pairs], pad)
    targets, documents = torch.full_like(ids, IGNORED), torch.full_like(ids, 2)
    for row, (source, target) in enumerate(pairs):
        begin = len(source)
        documents[row, :begin] = 0
        documents[row, begin : begin + len(target) + 1] = 1
        targets[row, begin : begin + len(target) + 1] = torch.tensor([*target, end])
    return Batch(ids, targets, documents)


@dataclass(frozen=True)
class MaskedBatches(Batches):
    """Windows of text for masked language modelling (Devlin et al. 2018, arXiv 1810.04805).

    A `fraction` of the tokens are targets: 80% of them are replaced by `mask`, 10% by a random token, and 10% are
    unchanged, so that the input token never reveals whether it is the target.
    """

    tokens: np.ndarray
    rows: int
    length: int
    seed: int
    mask: int
    vocabulary_size: int
    fraction: float = 0.15

    def _batch(self, order: Order) -> Batch:
        before = order.state()
        table = np.stack([self.tokens[at : at + self.length] for at in order.take(self.rows)]).astype(np.int64)
        generator = np.random.default_rng([self.seed, before["epoch"], before["index"], 1])
        chosen, kind = generator.random(table.shape) < self.fraction, generator.random(table.shape)
        chosen[:, 0] |= ~chosen.any(1)  # every row has at least one target
        targets = np.where(chosen, table, IGNORED)
        hidden = np.where(chosen & (kind < 0.8), self.mask, table)
        other = generator.integers(0, self.vocabulary_size, table.shape)
        hidden = np.where(chosen & (kind >= 0.9), other, hidden)
        return Batch(torch.from_numpy(hidden), torch.from_numpy(targets))

    def _order(self, epoch: int) -> np.ndarray:
        generator = np.random.default_rng([self.seed, epoch])
        return generator.permutation(np.arange(0, len(self.tokens) - self.length + 1, self.length))
