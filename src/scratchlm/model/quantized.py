"""Matrices of whole numbers: int8 with a scale an output, int4 with a scale and a minimum for each group of 32 inputs.

In int8 a weight is its code times its scale, so zero stays zero (symmetric quantization). In int4 it is its code times
its scale plus its minimum (asymmetric), both in bf16, so that 16 codes span what a group holds: 5 bits a weight. A
matrix of int4 lies in tiles of 128 outputs: for each input the codes of all outputs stand together, two in a byte. So
a processor multiplies one input with many outputs at once and adds nothing across its lanes.

Sources: B. Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
Inference", arXiv 1712.05877; groups as in llama.cpp's Q4_1.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from scratchlm.model.quantizationconfig import QuantizationConfig

TILE = 128
"""Outputs of a tile of int4."""
GROUP = 32
"""Inputs that share a scale and a minimum in int4."""
MOST = 15
"""The largest int4 code; codes are 0 to 15."""
SPANS_TRIED = (1.0, 0.975, 0.95, 0.925, 0.9, 0.875, 0.85, 0.825, 0.8)
"""Spans that a group of int4 is tried with, relative to the one that clips nothing."""
OUTPUTS = 64 * TILE
"""Outputs of a matrix that are unpacked at a time."""
LARGEST = 127
"""The largest int8 code; -128 is left out, so that a weight and its negative are rounded alike."""


@dataclass
class Int8:
    """A matrix in int8."""

    codes: Tensor
    """int8, shape `(outputs, inputs)`."""
    scales: Tensor
    """fp32, shape `(outputs,)`."""

    @property
    def shape(self) -> tuple[int, int]:
        """Outputs and inputs."""
        return self.codes.shape[0], self.codes.shape[1]

    @property
    def nbytes(self) -> int:
        """Bytes it takes."""
        return self.codes.nbytes + self.scales.nbytes

    def rows(self, which: Int[Tensor, "*some"]) -> Float[Tensor, "*some I"]:
        """Return the weights of some outputs in fp32, as an embedding is read."""
        return self.codes[which] * self.scales[which][..., None]

    def unpacked(self, first: int = 0, last: int | None = None) -> Float[Tensor, "O I"]:
        """Return the weights of all outputs, or of those from `first` to `last`, in fp32."""
        return self.codes[first:last] * self.scales[first:last, None]

    def product(self, input: Float[Tensor, "*batch I"], first: int, last: int) -> Float[Tensor, "*batch O"]:
        """Multiply with some outputs' weights; codes are exact in bf16, and scales multiply the sums."""
        return F.linear(input, self.codes[first:last].to(input.dtype)) * self.scales[first:last]


@dataclass
class Int4:
    """A matrix in int4."""

    codes: Tensor
    """uint8, shape `(tiles, inputs, TILE / 2)`: output r of a tile in the lower half of a byte, r + 64 in the upper."""
    scales: Tensor
    """bf16, shape `(tiles, groups, TILE)`."""
    minima: Tensor
    """bf16, of the same shape."""
    outputs: int
    """Outputs of the matrix; the last tile is filled up with zeros."""

    @property
    def shape(self) -> tuple[int, int]:
        """Outputs and inputs."""
        return self.outputs, self.codes.shape[1]

    @property
    def nbytes(self) -> int:
        """Bytes it takes."""
        return self.codes.nbytes + self.scales.nbytes + self.minima.nbytes

    def rows(self, which: Int[Tensor, "*some"]) -> Float[Tensor, "*some I"]:
        """Return the weights of some outputs in fp32, as an embedding is read."""
        tile, place = which // TILE, which % TILE
        both = self.codes[tile, :, place % (TILE // 2)]  # (*some, I)
        codes = torch.where(place[..., None] < TILE // 2, both & 15, both >> 4)
        scales, minima = (
            each[tile, :, place].float().repeat_interleave(GROUP, -1) for each in (self.scales, self.minima)
        )
        return codes * scales + minima

    def unpacked(self, first: int = 0, last: int | None = None) -> Float[Tensor, "O I"]:
        """Return the weights of all outputs, or of those from `first` to `last`, in fp32."""
        last = self.outputs if last is None else min(last, self.outputs)
        tiles = slice(first // TILE, -(-last // TILE))
        codes = torch.cat([self.codes[tiles] & 15, self.codes[tiles] >> 4], dim=-1)  # (tiles, I, TILE)
        scales, minima = (each[tiles].float().repeat_interleave(GROUP, 1) for each in (self.scales, self.minima))
        weights = codes * scales + minima
        return weights.transpose(1, 2).flatten(0, 1)[first - tiles.start * TILE :][: last - first].contiguous()

    def product(self, input: Float[Tensor, "*batch I"], first: int, last: int) -> Float[Tensor, "*batch O"]:
        """Multiply with some outputs' weights, rounded to the input's number format."""
        return F.linear(input, self.unpacked(first, last).to(input.dtype))


Quantized = Int8 | Int4
SMALL = ("value_embedding.gate", "router", "classifier")
"""Layers that decide much with few weights, which stay as they are."""


def pack_int8(weight: Float[Tensor, "O I"]) -> Int8:
    """Round each output's weights to the nearest of 255 even steps up to its largest magnitude."""
    weight = weight.detach().float()
    scales = weight.abs().amax(1) / LARGEST
    codes = (weight / scales.clamp_min(torch.finfo(torch.float32).tiny)[:, None]).round()
    return Int8(codes.clamp(-LARGEST, LARGEST).to(torch.int8), scales)


Groups = Float[Tensor, "O groups"]


def fit_groups(weight: Float[Tensor, "O I"]) -> tuple[Groups, Groups]:
    """Return scale and minimum of each group, as bf16 holds them: of the spans tried, the one with the least error.

    The largest reaches from a group's smallest weight to its largest. Shorter ones clip these two and round the others
    better.
    """
    groups = weight.view(len(weight), -1, GROUP)
    low, high = groups.aminmax(dim=2, keepdim=True)
    best, least = (torch.zeros_like(low), low), torch.full_like(low, torch.inf)
    for span in SPANS_TRIED:
        clipped = (1 - span) / 2 * (high - low)
        scale, minimum = (each.bfloat16().float() for each in ((high - low) * span / MOST, low + clipped))
        error = (nearest_codes(groups, scale, minimum) * scale + minimum - groups).square().sum(2, keepdim=True)
        best = (torch.where(error < least, scale, best[0]), torch.where(error < least, minimum, best[1]))
        least = torch.minimum(error, least)
    return best[0].squeeze(2), best[1].squeeze(2)


def nearest_codes(weight: Tensor, scale: Tensor, minimum: Tensor) -> Tensor:
    """Return the nearest codes, as floating-point numbers; 0 where all weights of a group are one."""
    return torch.where(scale == 0, 0.0, (weight - minimum) / scale).round().clamp(0, MOST)


def round_int4(weight: Float[Tensor, "O I"], scales: Groups, minima: Groups) -> UInt8[Tensor, "O I"]:
    """Return the nearest codes with given scales and minima."""
    wide, low = (each.repeat_interleave(GROUP, 1) for each in (scales, minima))
    return nearest_codes(weight, wide, low).to(torch.uint8)


def tile_int4(codes: UInt8[Tensor, "O I"], scales: Groups, minima: Groups) -> Int4:
    """Lay codes, scales and minima out in tiles."""
    missing = -codes.size(0) % TILE
    halves = F.pad(codes, (0, 0, 0, missing)).view(-1, 2, TILE // 2, codes.size(1))
    both = (halves[:, 0] | halves[:, 1] << 4).transpose(1, 2).contiguous()

    def tiled(values: Tensor) -> Tensor:
        return F.pad(values, (0, 0, 0, missing)).view(-1, TILE, values.size(1)).transpose(1, 2).bfloat16().contiguous()

    return Int4(both, tiled(scales), tiled(minima), codes.size(0))


def pack_int4(weight: Float[Tensor, "O I"]) -> Int4:
    """Round each weight to the nearest of its group's 16 steps. The number of inputs must be a multiple of 32."""
    weight = weight.detach().float().contiguous()
    scales, minima = fit_groups(weight)
    return tile_int4(round_int4(weight, scales, minima), scales, minima)


class QuantizedWeight(nn.Module):
    """A matrix in whole numbers in the place of a layer's weight; it cannot be trained."""

    codes: Tensor
    scales: Tensor

    def __init__(self, matrix: Quantized) -> None:
        super().__init__()
        self.shape = matrix.shape
        self.dtype: torch.dtype | None = None
        """Number format that inputs and weights are multiplied in; None for that of the input."""
        self.codes = nn.Parameter(matrix.codes, requires_grad=False)
        self.scales = nn.Parameter(matrix.scales, requires_grad=False)
        minima = matrix.minima if isinstance(matrix, Int4) else None
        self.minima = None if minima is None else nn.Parameter(minima, requires_grad=False)

    @property
    def stored(self) -> list[Tensor]:
        """The tensors of the matrix: codes, scales and, in int4, minima."""
        return [self.codes, self.scales, *([] if self.minima is None else [self.minima])]

    @property
    def matrix(self) -> Quantized:
        """The matrix."""
        if self.minima is None:
            return Int8(self.codes, self.scales)
        return Int4(self.codes, self.scales, self.minima, self.shape[0])

    @property
    def weight(self) -> Float[Tensor, "O I"]:
        """The weights that the codes stand for, computed anew at each access."""
        return self.matrix.unpacked()

    def product(self, input: Float[Tensor, "*batch I"]) -> Float[Tensor, "*batch O"]:
        """Return what a linear layer with these weights answers, without bias; some outputs are unpacked at a time."""
        matrix, parts = self.matrix, range(0, self.shape[0], OUTPUTS)
        rounded = input.to(self.dtype or input.dtype)
        products = [matrix.product(rounded, at, at + OUTPUTS) for at in parts]
        return (products[0] if len(products) == 1 else torch.cat(products, -1)).to(input.dtype)


class QuantizedLinear(QuantizedWeight):
    """A linear layer that unpacks its weights on the way, some outputs at a time, and keeps none of them."""

    def __init__(self, matrix: Quantized, bias: Tensor | None) -> None:
        super().__init__(matrix)
        self.bias = None if bias is None else nn.Parameter(bias.detach())

    def forward(self, input: Float[Tensor, "*batch I"]) -> Float[Tensor, "*batch O"]:
        """Return what a linear layer with the unpacked weights answers."""
        answer = self.product(input)
        return answer if self.bias is None else answer + self.bias.to(answer.dtype)


class QuantizedEmbedding(QuantizedWeight):
    """An embedding whose rows are unpacked when they are looked up."""

    def forward(self, input: Int[Tensor, "*batch"]) -> Float[Tensor, "*batch I"]:
        """Return the rows of some ids in fp32."""
        return self.matrix.rows(input)


def quantizable(network: nn.Module) -> dict[str, nn.Linear | nn.Embedding]:
    """Return the layers that are quantized, by name: those that multiply with a matrix or look up tokens in one.

    Left out are the small layers of `SMALL`, and the stacked weights of a mixture of experts.
    """
    return {
        name: part
        for name, part in network.named_modules()
        if type(part) in (nn.Embedding, nn.Linear) and not name.endswith(SMALL)
    }


def stored_as(name: str, part: nn.Linear | nn.Embedding, to: str) -> type[Quantized]:
    """Return the form that a layer's matrix takes: int4 within blocks where that is asked for, int8 elsewhere."""
    return Int4 if to == "int4" and isinstance(part, nn.Linear) and name.startswith("blocks.") else Int8


def unfit(network: nn.Module, to: str) -> list[str]:
    """Return what is wrong with the layers that cannot take the form that is asked for."""
    return [
        f"{name} has {part.weight.size(1)} inputs: int4 needs a multiple of {GROUP}; use int8"
        for name, part in quantizable(network).items()
        if stored_as(name, part, to) is Int4 and part.weight.size(1) % GROUP
    ]


def quantize_outline(network: nn.Module, config: QuantizationConfig) -> None:
    """Put quantized layers without memory in the places of plain ones, to be given stored tensors."""
    for name, part in quantizable(network).items():
        replace(network, name, _outline(part.weight, stored_as(name, part, config.to)))


def _outline(weight: Tensor, form: type[Quantized]) -> Quantized:
    outputs, inputs = weight.shape
    tiles = -(-outputs // TILE)
    with torch.device("meta"):
        if form is Int8:
            return Int8(torch.empty(outputs, inputs, dtype=torch.int8), torch.empty(outputs))
        codes = torch.empty(tiles, inputs, TILE // 2, dtype=torch.uint8)
        scales, minima = (torch.empty(tiles, inputs // GROUP, TILE, dtype=torch.bfloat16) for _ in range(2))
        return Int4(codes, scales, minima, outputs)


def multiply_in(network: nn.Module, dtype: torch.dtype) -> None:
    """Have all quantized matrices multiplied in a number format."""
    for part in network.modules():
        if isinstance(part, QuantizedWeight):
            part.dtype = dtype


@torch.no_grad()
def unpack(network: nn.Module) -> None:
    """Put plain layers, with the weights that the codes stand for, in the places of quantized ones."""
    for name, part in list(network.named_modules()):
        if isinstance(part, QuantizedWeight):
            plain: nn.Embedding | nn.Linear = nn.Embedding(*part.shape, device="meta")
            if isinstance(part, QuantizedLinear):
                plain = nn.Linear(part.shape[1], part.shape[0], bias=part.bias is not None, device="meta")
                plain.register_parameter("bias", part.bias)
            plain.weight = nn.Parameter(part.weight)
            network.set_submodule(name, plain)


def replace(network: nn.Module, name: str, matrix: Quantized) -> None:
    """Put a quantized layer in the place of a plain one."""
    part = network.get_submodule(name)
    if isinstance(part, nn.Linear):
        network.set_submodule(name, QuantizedLinear(matrix, part.bias))
    else:
        network.set_submodule(name, QuantizedEmbedding(matrix))
