"""Norms: keep the residual stream at a scale that the next layer can read."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from scratchlm.model.config import LayerNormConfig, NormConfig, RMSNormConfig
from scratchlm.model.kernels import fast_rms_norm


def plain_rms_norm(x: Float[Tensor, "*batch D"], eps: float) -> Float[Tensor, "*batch D"]:
    """Divide by the root of the mean square of the last axis (arXiv 1910.07467, equation 4)."""
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps)


def rms_norm(x: Float[Tensor, "*batch D"], eps: float, dtype: torch.dtype | None = None) -> Float[Tensor, "*batch D"]:
    """Return what `plain_rms_norm` returns, as `dtype` if given, in half the passes over memory, gradient included."""
    if torch.compiler.is_compiling():
        return plain_rms_norm(x.to(torch.promote_types(x.dtype, torch.float32)), eps).to(dtype or x.dtype)
    return fast_rms_norm(x, eps, dtype or x.dtype)


class Norm(nn.Module, ABC):
    """A norm. Compiled code knows RMS norm and layer norm; a model with another one takes the plain path."""

    @abstractmethod
    def initial(self) -> dict[Tensor, float]:
        """Return the number at which each of its vectors begins."""


class RMSNorm(Norm):
    """Divide by the root of the mean square, then scale each channel (arXiv 1910.07467).

    Unlike layer norm it subtracts no mean and adds no bias.
    """

    def __init__(self, width: int, config: RMSNormConfig) -> None:
        super().__init__()
        self.width = width
        self.eps, self.unit_offset = config.eps, config.unit_offset
        initial = torch.zeros if config.unit_offset else torch.ones
        self.weight = nn.Parameter(initial(width)) if config.weight else None

    def initial(self) -> dict[Tensor, float]:
        """Return the number at which each of its vectors begins."""
        return {} if self.weight is None else {self.weight: 0.0 if self.unit_offset else 1.0}

    def forward(self, x: Float[Tensor, "*batch D"]) -> Float[Tensor, "*batch D"]:
        """Normalise the last axis; the shape is kept."""
        device = x.device.type  # under autocast the product that follows wants its dtype
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype
        normed = rms_norm(x, self.eps, dtype)
        if self.weight is None:
            return normed
        return normed * ((1.0 + self.weight) if self.unit_offset else self.weight).to(dtype)


class LayerNorm(Norm):
    """Subtract the mean, divide by the standard deviation, scale and shift each channel (arXiv 1607.06450)."""

    def __init__(self, width: int, config: LayerNormConfig) -> None:
        super().__init__()
        self.width = width
        self.eps = config.eps
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width)) if config.bias else None

    def initial(self) -> dict[Tensor, float]:
        """Return the number at which each of its vectors begins."""
        return {self.weight: 1.0} if self.bias is None else {self.weight: 1.0, self.bias: 0.0}

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
