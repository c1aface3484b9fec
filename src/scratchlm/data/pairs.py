"""Batches for encoder-decoders: a source, then its target."""

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
