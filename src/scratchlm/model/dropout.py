"""Dropout (Srivastava et al. 2014) from eight random bits a number, several times faster on a CPU than torch's.

The probability is rounded to the nearest 256th. What is kept grows by its exact inverse, so the expectation stays.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class Dropout(nn.Module):
    """In training, zero each number with this probability and scale the others up; else do nothing."""

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, x: Float[Tensor, "*batch D"]) -> Float[Tensor, "*batch D"]:
        """Return `x` with some numbers dropped; the shape is kept."""
        if not self.training or self.probability == 0.0:
            return x
        if x.device.type != "cpu":
            return F.dropout(x, self.probability)
        of_256 = max(1, round(256 * self.probability))
        gone = random_bytes(x.numel())[: x.numel()].view(x.shape) < of_256
        return x.masked_fill(gone, 0.0) * (256.0 / (256.0 - of_256))


@torch.library.custom_op(
    "scratchlm::random_bytes",
    mutates_args=(),
    schema="(int count) -> Tensor",
    tags=(torch.Tag.nondeterministic_seeded,),
)
def random_bytes(count: int) -> Tensor:
    """Return at least `count` random bytes of torch's generator.

    An operation of its own, so that torch.compile may neither repeat it nor take two for one.
    """
    return torch.empty(-(-count // 8), dtype=torch.int64).random_(-(2**63), None).view(torch.uint8)


@random_bytes.register_fake
def _(count: int) -> Tensor:
    return torch.empty(-(-count // 8) * 8, dtype=torch.uint8)
