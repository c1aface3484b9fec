"""Norms: keep the residual stream at a scale that the next layer can read."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from scratchlm.model.config import LayerNormConfig, NormConfig, RMSNormConfig


class RMSNorm(nn.Module):
    """Divide by the root of the mean square, then scale each channel (arXiv 1910.07467).

    Unlike layer norm it subtracts no mean and adds no bias.
    """

    def __init__(self, width: int, config: RMSNormConfig) -> None:
        super().__init__()
        self.width = width
        self.eps = config.eps
        self.weight = nn.Parameter(torch.ones(width)) if config.weight else None

    def forward(self, x: Float[Tensor, "*batch D"]) -> Float[Tensor, "*batch D"]:
        """Normalise the last axis; the shape is kept."""
        weight = None if self.weight is None else self.weight.to(x.dtype)  # under autocast x may be bf16
        return F.rms_norm(x, (self.width,), weight, self.eps)


class LayerNorm(nn.Module):
    """Subtract the mean, divide by the standard deviation, scale and shift each channel (arXiv 1607.06450)."""

    def __init__(self, width: int, config: LayerNormConfig) -> None:
        super().__init__()
        self.width = width
        self.eps = config.eps
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width)) if config.bias else None

    def forward(self, x: Float[Tensor, "*batch D"]) -> Float[Tensor, "*batch D"]:
        """Normalise the last axis; the shape is kept."""
        bias = None if self.bias is None else self.bias.to(x.dtype)
        return F.layer_norm(x, (self.width,), self.weight.to(x.dtype), bias, self.eps)


def build_norm(width: int, config: NormConfig) -> RMSNorm | LayerNorm:
    """Build the norm that the type of `config` names."""
    match config:
        case RMSNormConfig():
            return RMSNorm(width, config)
        case LayerNormConfig():
            return LayerNorm(width, config)
