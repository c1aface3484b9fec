"""Masked next-token prediction: some rows of a batch are read both ways, with some of their tokens hidden.

A model learns to predict a hidden token from what is before and after it, at the position before it, as it predicts the
next token of all other rows (GPT-BERT: Charpentier and Samuel 2024, arXiv 2410.24159).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch

from scratchlm.data.batches import IGNORED, Batch, State


@dataclass(frozen=True)
class HiddenTokens:
    """The batches of a source, in which the first rows of each batch have hidden tokens."""

    source: Callable[[Mapping[str, int] | None], Iterator[tuple[Batch, State]]]
    fraction: float
    """Of the rows; at least one."""
    hidden: float
    """Probability that a token is hidden, and the target of the position before it."""
    mask: int
    """Id that stands for a hidden token."""
    seed: int

    def __call__(self, state: Mapping[str, int] | None = None) -> Iterator[tuple[Batch, State]]:
        """Yield batches without end; what is hidden follows from the seed and the batch's state."""
        for batch, following in self.source(state):
            yield self._hide(batch, following), following

    def _hide(self, batch: Batch, state: State) -> Batch:
        rows, length = batch.ids.shape
        both = torch.arange(rows) < max(1, round(self.fraction * rows))
        generator = np.random.default_rng([self.seed, 2, *(state[key] for key in sorted(state))])
        chosen = torch.from_numpy(generator.random((rows, length)) < self.hidden)
        chosen[:, 1] |= ~chosen[:, 1:].any(1)  # every row has a target
        chosen[:, 0] = False  # no position is before it
        chosen &= both[:, None]
        wanted = torch.zeros_like(chosen)
        wanted[:, :-1] = chosen[:, 1:]
        return replace(
            batch,
            ids=batch.ids.masked_fill(chosen, self.mask),
            targets=batch.targets.masked_fill(both[:, None] & ~wanted, IGNORED),
            bidirectional=both,
        )
