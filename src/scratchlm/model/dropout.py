"""Dropout (Srivastava et al. 2014) from eight random bits a number, several times faster on a CPU than torch's.

The share is rounded to the nearest 256th. What is kept grows by its exact inverse, so the expectation stays.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class Dropout(nn.Module):
    """In training, zero a share of the numbers and scale the others up; else do nothing."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, x: Float[Tensor, "*batch D"]) -> Float[Tensor, "*batch D"]:
        """Return `x` with some numbers dropped; the shape is kept."""
        if not self.training or self.share == 0.0:
            return x
        if x.device.type != "cpu":
            return F.dropout(x, self.share)
        dropped: Tensor = _Dropout.apply(x, max(1, round(256 * self.share)))  # type: ignore[no-untyped-call]
        return dropped


class _Dropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, of_256: int) -> Tensor:
        words = torch.empty(-(-x.numel() // 8), dtype=torch.int64).random_(-(2**63), None)
        gone = words.view(torch.uint8)[: x.numel()].view(x.shape) < of_256
        ctx.save_for_backward(gone)
        ctx.scale = 256.0 / (256.0 - of_256)
        return x.masked_fill(gone, 0.0).mul_(ctx.scale)

    @staticmethod
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor, None]:
        (gone,) = ctx.saved_tensors
        return outer.masked_fill(gone, 0.0).mul_(ctx.scale), None
