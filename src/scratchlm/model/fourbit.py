"""Frozen weights held in four bits: what a low-rank adapter is trained beside where memory is short (QLoRA).

Each block of 64 weights is divided by its largest magnitude, and each weight becomes the number of the nearest of 16
levels. These are NF4's: the quantiles of a normal distribution, for that is how trained weights are spread, with an
exact zero. A weight takes 4 bits, and a quarter of one for its block's scale in bfloat16 (the paper's second
quantisation, of the scales, is left out).

Source: T. Dettmers et al. 2023, "QLoRA", arXiv 2305.14314, section 3 and appendix E.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

BLOCK = 64
"""Weights that share a scale."""
OFFSET = (1 - 1 / 32 + 1 - 1 / 30) / 2
"""The outermost quantile: halfway between those of 16 and of 15 levels."""


def levels() -> list[float]:
    """Return the 16 levels from -1 to 1: 8 at or above 0 and 7 below, evenly spaced in probability."""

    def quantiles(count: int) -> list[float]:
        steps = [OFFSET + (0.5 - OFFSET) * index / count for index in range(count)]
        return [NormalDist().inv_cdf(step) for step in steps]

    above, below = quantiles(8), [-value for value in quantiles(7)]
    return sorted(value / above[0] for value in [*above, *below, 0.0])


@dataclass
class FourBit:
    """A matrix in four bits."""

    codes: Tensor
    """Two numbers of levels in each byte, the first in the upper half; uint8, shape `(blocks, BLOCK / 2)`."""
    scales: Tensor
    """Largest magnitude of each block; bfloat16, shape `(blocks, 1)`."""
    shape: tuple[int, int]

    @property
    def nbytes(self) -> int:
        """Bytes it takes."""
        return self.codes.nbytes + self.scales.nbytes

    def unpacked(self, dtype: torch.dtype) -> Float[Tensor, "O I"]:
        """Return the matrix that the codes stand for."""
        known = torch.tensor(levels(), dtype=dtype, device=self.codes.device)
        pairs = torch.stack([known.repeat_interleave(16), known.repeat(16)], dim=1)  # (256, 2): of each byte
        values = F.embedding(self.codes.int(), pairs).flatten(1)  # (blocks, BLOCK)
        return (values * self.scales.to(dtype)).flatten()[: self.shape[0] * self.shape[1]].view(self.shape)


def pack(weight: Float[Tensor, "O I"]) -> FourBit:
    """Return the matrix in four bits; the last block is filled up with zeros."""
    flat = weight.detach().float().flatten()
    blocks = F.pad(flat, (0, -len(flat) % BLOCK)).view(-1, BLOCK)
    scales = blocks.abs().amax(1, keepdim=True).to(torch.bfloat16)
    scaled = blocks / scales.float().clamp_min(torch.finfo(torch.float32).tiny)
    known = torch.tensor(levels(), device=flat.device)
    between = (known[1:] + known[:-1]) / 2
    numbers = torch.bucketize(scaled, between).to(torch.uint8)
    return FourBit((numbers[:, 0::2] << 4) | numbers[:, 1::2], scales, (weight.shape[0], weight.shape[1]))


class _Product(torch.autograd.Function):
    """Input times the matrix, which is unpacked on the way and again on the way back, and never kept."""

    @staticmethod
    def forward(ctx: Any, input: Tensor, packed: FourBit) -> Tensor:
        ctx.packed, ctx.dtype = packed, input.dtype
        kind = input.device.type
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else input.dtype
        return F.linear(input.to(dtype), packed.unpacked(dtype))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (gradient,) = gradients
        return (gradient @ ctx.packed.unpacked(gradient.dtype)).to(ctx.dtype), None


def product(input: Float[Tensor, "*batch I"], packed: FourBit) -> Float[Tensor, "*batch O"]:
    """Return what a linear layer with this matrix answers, without bias."""
    answer: Tensor = _Product.apply(input, packed)  # type: ignore[no-untyped-call]
    return answer
