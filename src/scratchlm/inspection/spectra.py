"""Norms and singular values of a model's matrices, of one model or along a training's checkpoints."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from scratchlm.model.decoder import Decoder
from scratchlm.model.feedforward import Experts
from scratchlm.model.lora import AdaptedLinear
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
    for name, matrix in _matrices(decoder):
        values = torch.linalg.svdvals(matrix)
        found.append(Spectrum(name, float(matrix.square().mean().sqrt()), values))
    return found


def _matrices(decoder: Decoder) -> Iterator[tuple[str, Float[Tensor, "R C"]]]:
    for name, part in decoder.named_modules():
        if isinstance(part, Experts):
            for stack in ("gate", "up", "down"):
                for expert, matrix in enumerate(getattr(part, stack)):
                    yield f"{name}.{stack}.{expert}", matrix.float()
        elif isinstance(part, AdaptedLinear):
            yield name, part.matrix().float()
        elif isinstance(part, nn.Linear | nn.Embedding | QuantizedWeight) and min(part.weight.shape) > 1:
            yield name, part.weight.float()
