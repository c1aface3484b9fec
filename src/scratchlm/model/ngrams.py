"""N-gram embeddings: a vector for the last few tokens together, added to the embedding of the last one.

What a counting model knows (which pairs and triples there are) the network need not learn to compute: it is looked up.
"""

from __future__ import annotations

from functools import reduce
from operator import add

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from scratchlm.model.config import DecoderConfig, NgramEmbeddingConfig

MULTIPLIER = 6_364_136_223_846_793_005
"""Knuth's for a linear congruential generator of 64 bits (The Art of Computer Programming, volume 2, 3.3.4)."""


class NgramEmbedding(nn.Module):
    """Tables of n-grams, one for each order (see `NgramEmbeddingConfig`)."""

    def __init__(self, config: DecoderConfig, ngrams: NgramEmbeddingConfig) -> None:
        super().__init__()
        self.symbols = config.vocabulary_size + 1  # one more for "before the beginning"
        self.orders = tuple(range(2, ngrams.longest + 1))
        self.sizes = [min(self.symbols**order, ngrams.rows) for order in self.orders]
        self.tables = nn.ModuleList(nn.Embedding(size, config.width) for size in self.sizes)

    @property
    def reach(self) -> int:
        """How many tokens before its own a position looks at."""
        return self.orders[-1] - 1

    def forward(self, ids: Int[Tensor, "B T"], documents: Int[Tensor, "B T"] | None = None) -> Float[Tensor, "B T D"]:
        """Return the sum of the n-grams' rows at each position; none reaches into another document."""
        parts = zip(self.orders, self.sizes, self.tables, strict=True)
        return reduce(add, (table(self.rows(ids, order, size, documents)) for order, size, table in parts))

    def rows(
        self, ids: Int[Tensor, "B T"], order: int, size: int, documents: Int[Tensor, "B T"] | None = None
    ) -> Int[Tensor, "B T"]:
        """Return the row of each position's n-gram: its own where the table has one for each, else by hash."""
        number = ids
        for back in range(1, order):
            before = torch.full_like(ids, self.symbols - 1)
            before[:, back:] = ids[:, :-back]
            if documents is not None:
                before[:, back:][documents[:, back:] != documents[:, :-back]] = self.symbols - 1
            number = number * self.symbols + before
        return number if self.symbols**order <= size else (number * MULTIPLIER >> 24) % size
