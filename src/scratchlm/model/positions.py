"""Positions: how a model that sees a set of vectors gets their order."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from scratchlm.model.config import LinearScalingConfig, Llama3ScalingConfig, ScalingConfig
from scratchlm.model.kernels import fast_rotate
from scratchlm.model.masks import SHARED

Rotation = tuple[Float[Tensor, "*batch T half"], Float[Tensor, "*batch T half"]]
"""Cosines and sines; where each batch item has its own, the batch axes are (B, 1), the 1 for heads."""


def rope_table(
    positions: int, channels: int, theta: float, scaling: ScalingConfig | None = None
) -> tuple[Tensor, Tensor]:
    """Return cosines and sines, each `(positions, channels / 2)` in fp32, of rotary positions (arXiv 2104.09864).

    Pair i of a head turns by `position * theta ** (-2 i / channels)` radians, or more slowly by the scaling.
    """
    angles = torch.outer(torch.arange(positions, dtype=torch.float32), rope_frequencies(channels, theta, scaling))
    return angles.cos(), angles.sin()


def rope_frequencies(channels: int, theta: float, scaling: ScalingConfig | None = None) -> Float[Tensor, " half"]:
    """Return by how many radians a position each pair of channels turns."""
    frequencies = 1.0 / theta ** (torch.arange(0, channels, 2, dtype=torch.float32) / channels)
    match scaling:
        case LinearScalingConfig():
            return frequencies / scaling.factor
        case Llama3ScalingConfig():
            turns = scaling.original_context * frequencies / (2 * math.pi)  # in the text first trained on
            low, high = scaling.low_frequency_factor, scaling.high_frequency_factor
            kept = ((turns - low) / (high - low)).clamp(0.0, 1.0)  # 1: a short wavelength, as it was; 0: stretched
            return (1 - kept) * frequencies / scaling.factor + kept * frequencies
        case _:
            return frequencies


def plain_rotate(x: Float[Tensor, "B heads T E"], rotation: Rotation) -> Float[Tensor, "B heads T E"]:
    """Turn each pair of channels (i, i + half) by its position's angle; lengths are kept, further channels too."""
    cos, sin = (table.to(x.dtype) for table in rotation)
    half = cos.size(-1)
    first, second, further = x[..., :half], x[..., half : 2 * half], x[..., 2 * half :]
    return torch.cat((first * cos - second * sin, second * cos + first * sin, further), dim=-1)


def rotate(x: Float[Tensor, "B heads T E"], rotation: Rotation) -> Float[Tensor, "B heads T E"]:
    """Return what `plain_rotate` returns; its gradient is the gradient turned back, so nothing is kept for it."""
    if torch.compiler.is_compiling():
        return plain_rotate(x, rotation)
    return fast_rotate(x, *(table.to(x.dtype) for table in rotation))


def positions_within(documents: Int[Tensor, "B T"]) -> Int[Tensor, "B T"]:
    """Count positions anew wherever the document number changes along a row: from 0, or from a `SHARED` one's end."""
    index = torch.arange(documents.size(1), device=documents.device).expand_as(documents)
    starts = torch.ones_like(documents, dtype=torch.bool)
    starts[:, 1:] = documents[:, 1:] != documents[:, :-1]
    latest_start = torch.where(starts, index, 0).cummax(dim=1).values
    shared = documents == SHARED
    return index - latest_start + torch.where(shared, 0, shared.sum(dim=1, keepdim=True))
