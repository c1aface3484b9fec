"""Matrices in int8 and int4, and how their inputs (activations) are rounded to int8.

Each group of 32 inputs of an output has a scale. In int8 a weight is its code times the scale, so zero stays zero
(symmetric quantization): 8.5 bits a weight. In int4 it is its code times the scale plus a minimum (asymmetric), so that
16 codes span what a group holds: 5 bits. Inputs are rounded to int8 with a scale for each 32 of them. So all products
of a group are products of integers, which a processor adds up four at a time, and only their sum is scaled.

A matrix lies in tiles of 16 outputs. In a tile, four neighbouring inputs of an output stand together, then those of the
next output: one load has four inputs of all 16 outputs. In int4 a byte holds an input and the one 16 further on.

Sources: B. Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
Inference", arXiv 1712.05877; groups as in llama.cpp's Q8_0 and Q4_1.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from scratchlm.model.quantizationconfig import QuantizationConfig

TILE = 16
"""Outputs of a tile."""
GROUP = 32
"""Inputs that share a scale."""
FOUR = 4
"""Inputs of an output that stand together."""
MOST = 15
"""The largest int4 code; codes are 0 to 15."""
SPANS_TRIED = (1.0, 0.975, 0.95, 0.925, 0.9, 0.875, 0.85, 0.825, 0.8)
"""Spans that a group of int4 is tried with, relative to the one that clips nothing."""
FITTED = 1 << 17
"""Weights whose groups are fitted at a time: what is computed on the way stays in the processor's caches."""
OUTPUTS = 512 * TILE
"""Outputs of a matrix that are unpacked at a time."""
LARGEST = 127
"""The largest int8 code; -128 is left out, so that a number and its negative are rounded alike."""
SMALLEST = 1e-30
"""Inputs whose largest magnitude is not above this are rounded to zero."""

Codes = Int[Tensor, "O I"] | UInt8[Tensor, "O I"]


def round_inputs(input: Float[Tensor, "*batch I"], twice: bool = False) -> Float[Tensor, "*batch I"]:
    """Return inputs rounded to int8 times the scale of their group, in fp32. A group with no number becomes NaN.

    With `twice`, what the first rounding leaves is rounded and added: about 15 bits.
    """
    if twice:
        first = round_inputs(input)
        return first + round_inputs(input.float() - first)
    filled = F.pad(input.float(), (0, -input.size(-1) % GROUP))
    groups = filled.reshape(*input.shape[:-1], filled.size(-1) // GROUP, GROUP)
    largest = groups.abs().amax(-1, keepdim=True)
    codes = (groups * torch.where(largest > SMALLEST, LARGEST / largest, 0.0)).round()
    return (codes * (largest / LARGEST)).flatten(-2)[..., : input.size(-1)]


@dataclass
class Quantized:
    """A matrix in int8 or int4. Outputs fill up the last tile, and inputs the last group, with codes of 0."""

    codes: Tensor
    """int8 `(tiles, groups, 8, TILE, 4)`, or uint8 `(tiles, groups, 4, TILE, 4)` with two codes of int4 in a byte."""
    scales: Tensor
    """fp16, shape `(tiles, groups, TILE)`."""
    minima: Tensor | None
    """Of the same shape, in int4."""
    shape: tuple[int, int]
    """Outputs and inputs."""

    @property
    def nbytes(self) -> int:
        """Bytes it takes."""
        return self.codes.nbytes + self.scales.nbytes + (0 if self.minima is None else self.minima.nbytes)

    def rows(self, which: Int[Tensor, "*some"]) -> Float[Tensor, "*some I"]:
        """Return the weights of some outputs in fp32, as an embedding is read."""
        tile, place = which // TILE, which % TILE
        minima = None if self.minima is None else self.minima[tile, :, place]
        return self._weights(self.codes[tile, :, :, place], self.scales[tile, :, place], minima)

    def unpacked(self, first: int = 0, last: int | None = None) -> Float[Tensor, "O I"]:
        """Return the weights of all outputs, or of those from `first` to `last`, in fp32."""
        last = self.shape[0] if last is None else min(last, self.shape[0])
        tiles = slice(first // TILE, -(-last // TILE))
        codes = self.codes[tiles].permute(0, 3, 1, 2, 4)  # (tiles, TILE, groups, 8 or 4, 4)
        minima = None if self.minima is None else self.minima[tiles].transpose(1, 2)
        rows = self._weights(codes, self.scales[tiles].transpose(1, 2), minima).flatten(0, 1)
        return rows[first - tiles.start * TILE :][: last - first].contiguous()

    def _weights(self, codes: Tensor, scales: Tensor, minima: Tensor | None) -> Tensor:
        """Return the weights of codes `(..., groups, 8 or 4, 4)` with scales and minima `(..., groups)`."""
        if minima is not None:
            codes = torch.cat([codes & MOST, codes >> 4], -2)
        weights = codes.flatten(-2) * scales.float()[..., None]
        weights = weights if minima is None else weights + minima.float()[..., None]
        return weights.flatten(-2)[..., : self.shape[1]]


TWICE = ("head", "embedding")
"""Layers whose inputs are rounded twice: they decide between all tokens."""
SMALL = ("value_embedding.gate", "router", "classifier")
"""Layers that decide much with few weights, which stay as they are."""
Groups = Float[Tensor, "O groups"]


def lay_out(codes: Codes, scales: Groups, minima: Groups | None = None) -> Quantized:
    """Lay codes, scales and minima out in tiles. Codes of int4, which have minima, are 0 to 15."""
    outputs, inputs = codes.shape
    missing = -outputs % TILE
    filled = F.pad(codes, (0, -inputs % GROUP, 0, missing))
    tiled = filled.view(-1, TILE, filled.size(1) // GROUP, GROUP // FOUR, FOUR).permute(0, 2, 3, 1, 4)
    if minima is not None:
        tiled = tiled[:, :, : GROUP // FOUR // 2] | tiled[:, :, GROUP // FOUR // 2 :] << 4

    def in_tiles(values: Tensor) -> Tensor:
        return F.pad(values, (0, 0, 0, missing)).view(-1, TILE, values.size(1)).transpose(1, 2).half().contiguous()

    return Quantized(
        tiled.contiguous(), in_tiles(scales), None if minima is None else in_tiles(minima), (outputs, inputs)
    )


def in_groups(weight: Float[Tensor, "O I"]) -> Float[Tensor, "O groups G"]:
    """Return the groups of a matrix; its last column is repeated to fill the last one up, which changes no span."""
    missing = -weight.size(1) % GROUP
    return torch.cat([weight, weight[:, -1:].expand(-1, missing)], 1).view(len(weight), -1, GROUP)


def pack_int8(weight: Float[Tensor, "O I"]) -> Quantized:
    """Round each weight to the nearest of 255 even steps up to the largest magnitude of its group.

    A group whose largest magnitude is below 4e-6 becomes zero: fp16 has no scale for it.
    """
    groups = in_groups(weight.detach().float())
    scales = (groups.abs().amax(2) / LARGEST).half().float()
    codes = torch.where(scales[..., None] == 0, 0.0, groups / scales[..., None]).round().clamp(-LARGEST, LARGEST)
    return lay_out(codes.to(torch.int8).flatten(1)[:, : weight.size(1)], scales)


def fit_groups(weight: Float[Tensor, "O I"]) -> tuple[Groups, Groups]:
    """Return scale and minimum of each group, as fp16 holds them: of the spans tried, the one with the least error.

    The largest reaches from a group's smallest weight to its largest. Shorter ones clip these two and round the others
    better.
    """
    parts = [_fit(part) for part in torch.split(weight, max(1, FITTED // weight.size(1)))]
    return torch.cat([scales for scales, _ in parts]), torch.cat([minima for _, minima in parts])


def _fit(weight: Float[Tensor, "O I"]) -> tuple[Groups, Groups]:
    groups = in_groups(weight)
    low, high = groups.aminmax(dim=2, keepdim=True)
    best, least = (torch.zeros_like(low), low), torch.full_like(low, torch.inf)
    for span in SPANS_TRIED:
        clipped = (1 - span) / 2 * (high - low)
        scale, minimum = (each.half().float() for each in ((high - low) * span / MOST, low + clipped))
        error = (nearest_codes(groups, scale, minimum) * scale + minimum - groups).square().sum(2, keepdim=True)
        best = (torch.where(error < least, scale, best[0]), torch.where(error < least, minimum, best[1]))
        least = torch.minimum(error, least)
    return best[0].squeeze(2), best[1].squeeze(2)


def nearest_codes(weight: Tensor, scale: Tensor, minimum: Tensor) -> Tensor:
    """Return the nearest codes, as floating-point numbers; 0 where all weights of a group are one."""
    return torch.where(scale == 0, 0.0, (weight - minimum) / scale).round().clamp(0, MOST)


def round_int4(weight: Float[Tensor, "O I"], scales: Groups, minima: Groups) -> UInt8[Tensor, "O I"]:
    """Return the nearest codes with given scales and minima."""
    codes = nearest_codes(in_groups(weight), scales[..., None], minima[..., None])
    return codes.to(torch.uint8).flatten(1)[:, : weight.size(1)]


def pack_int4(weight: Float[Tensor, "O I"]) -> Quantized:
    """Round each weight to the nearest of its group's 16 steps."""
    weight = weight.detach().float().contiguous()
    scales, minima = fit_groups(weight)
    return lay_out(round_int4(weight, scales, minima), scales, minima)


class QuantizedWeight(nn.Module):
    """A matrix in int8 or int4 in the place of a layer's weight; it cannot be trained."""

    codes: Tensor
    scales: Tensor

    def __init__(self, matrix: Quantized) -> None:
        super().__init__()
        self.shape = matrix.shape
        self.twice = False
        """Whether inputs are rounded twice."""
        self.codes = nn.Parameter(matrix.codes, requires_grad=False)
        self.scales = nn.Parameter(matrix.scales, requires_grad=False)
        self.minima = None if matrix.minima is None else nn.Parameter(matrix.minima, requires_grad=False)

    @property
    def stored(self) -> list[Tensor]:
        """The tensors of the matrix: codes, scales and, in int4, minima."""
        return [self.codes, self.scales, *([] if self.minima is None else [self.minima])]

    @property
    def matrix(self) -> Quantized:
        """The matrix."""
        return Quantized(self.codes, self.scales, self.minima, self.shape)

    @property
    def weight(self) -> Float[Tensor, "O I"]:
        """The weights that the codes stand for, computed anew at each access."""
        return self.matrix.unpacked()

    def product(self, input: Float[Tensor, "*batch I"]) -> Float[Tensor, "*batch O"]:
        """Return what a linear layer with these weights answers to rounded inputs, without bias.

        Computed in fp32, some outputs at a time: the plain form of `compiled/products.py`.
        """
        matrix, rounded = self.matrix, round_inputs(input, self.twice)
        products = [F.linear(rounded, matrix.unpacked(at, at + OUTPUTS)) for at in range(0, self.shape[0], OUTPUTS)]
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


def in_int4(name: str, part: nn.Linear | nn.Embedding, to: str) -> bool:
    """Return whether a layer's matrix is stored in int4: one within blocks, where that is asked for."""
    return to == "int4" and isinstance(part, nn.Linear) and name.startswith("blocks.")


def pack(name: str, part: nn.Linear | nn.Embedding, to: str) -> Quantized:
    """Return a layer's matrix rounded to the nearest codes of its form."""
    return (pack_int4 if in_int4(name, part, to) else pack_int8)(part.weight)


def quantize_outline(network: nn.Module, config: QuantizationConfig) -> None:
    """Put quantized layers without memory in the places of plain ones, to be given stored tensors."""
    for name, part in quantizable(network).items():
        replace(network, name, _outline(part.weight, in_int4(name, part, config.to)))


def _outline(weight: Tensor, int4: bool) -> Quantized:
    outputs, inputs = weight.shape
    tiles, groups = -(-outputs // TILE), -(-inputs // GROUP)
    with torch.device("meta"):
        fours = GROUP // FOUR // (2 if int4 else 1)
        codes = torch.empty(tiles, groups, fours, TILE, FOUR, dtype=torch.uint8 if int4 else torch.int8)
        scales, minima = (torch.empty(tiles, groups, TILE, dtype=torch.float16) for _ in range(2))
        return Quantized(codes, scales, minima if int4 else None, (outputs, inputs))


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
    new = QuantizedLinear(matrix, part.bias) if isinstance(part, nn.Linear) else QuantizedEmbedding(matrix)
    new.twice = name in TWICE
    network.set_submodule(name, new)
