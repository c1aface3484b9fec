"""Norms and singular values of a model's matrices, of one model or along a training's checkpoints."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from scratchlm.model.decoder import Decoder
from scratchlm.model.quantized import QuantizedWeight


@dataclass(frozen=True)
class Spectrum:
    """Sizes of one matrix."""

    name: str
    norm: float
    """Root of the mean square of its weights."""
    singular: Float[Tensor, " R"]
    """Its singular values, falling."""

    @property
    def largest(self) -> float:
        """The most that it lengthens a vector."""
        return float(self.singular[0])

    @property
    def stable_rank(self) -> float:
        """Squared Frobenius norm over squared largest singular value: how many directions count."""
        return float(self.singular.square().sum() / self.singular[0].square().clamp_min(1e-30))


@torch.no_grad()
def spectra(decoder: Decoder) -> list[Spectrum]:
    """Return the sizes of all matrices of layers and of the embedding, in the order of the model."""
    found = []
    for name, part in decoder.named_modules():
        weight = part.weight if isinstance(part, nn.Linear | nn.Embedding | QuantizedWeight) else None
        if weight is not None and weight.dim() == 2 and min(weight.shape) > 1:
            matrix = weight.float()
            values = torch.linalg.svdvals(matrix)
            found.append(Spectrum(name, float(matrix.square().mean().sqrt()), values))
    return found
