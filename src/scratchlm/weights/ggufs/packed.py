"""Quantized matrices of a GGUF file, kept as `model/quantized.py` lays them out.

Q8_0 is int8, Q4_1 is int4, and Q4_0 is int4 with a minimum of -8 scales: codes, scales and minima are kept to the last
bit. Q4_K has scales of 6 bits times one of 16; their products are rounded to 16 bits, and its codes are kept. The
matrices of all layers take one form: where one is in four bits, those in more are rounded to int4. Embedding and head
take int8.

On the way, a matrix is one of rows: the codes of an output's inputs, then its scales, then its minima. So whatever
orders or splits rows does so with all three.

Source: https://github.com/ggml-org/ggml/blob/master/src/ggml-common.h (block_q4_0 and the others).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from scratchlm.base.errors import UserError
from scratchlm.base.terminal import say
from scratchlm.model.config import DecoderConfig, ExpertsConfig
from scratchlm.model.decoder import Decoder, outline
from scratchlm.model.quantizationconfig import QuantizationConfig
from scratchlm.model.quantized import GROUP, Quantized, in_int4, lay_out, pack, quantizable, replace
from scratchlm.weights.checkpoint import fill
from scratchlm.weights.ggufs.file import ROWS, GGUFFile
from scratchlm.weights.mapping import TensorRule, shapes, to_ours

KEPT = ("Q8_0", "Q4_0", "Q4_1", "Q4_K")
"""Precisions whose codes are kept."""
Numbers = npt.NDArray[Any]


def halves(blocks: Numbers, at: int) -> Numbers:
    """Return the fp16 number at a place of each block, as fp32, shape `(blocks, 1)`."""
    return blocks[:, at : at + 2].copy().view(np.float16).astype(np.float32)


def nibbles(packed: Numbers) -> Numbers:
    """Return the lower halves of bytes, then the upper ones."""
    return np.concatenate([packed & 15, packed >> 4], -1)


def split_blocks(blocks: Numbers, precision: str) -> tuple[Numbers, Numbers, Numbers]:
    """Return codes, scales and minima of blocks `(blocks, bytes)`; the minima of Q8_0 are none.

    The sizes are `(blocks, 32)` and `(blocks, 1)`; of Q4_K, `(blocks, 256)` and `(blocks, 8)`.
    """
    scale = halves(blocks, 0)
    if precision == "Q8_0":
        return blocks[:, 2:].view(np.int8), scale, np.empty((len(blocks), 0), np.float32)
    if precision == "Q4_0":
        return nibbles(blocks[:, 2:]), scale, -8 * scale
    if precision == "Q4_1":
        return nibbles(blocks[:, 4:]), scale, halves(blocks, 2)
    six = blocks[:, 4:16]  # eight scales and eight minima of 6 bits
    first, second, third = six[:, :4], six[:, 4:8], six[:, 8:]
    scales = np.concatenate([first & 63, (third & 15) | first >> 6 << 4], 1) * scale
    minima = np.concatenate([second & 63, third >> 4 | second >> 6 << 4], 1) * -halves(blocks, 2)
    return nibbles(blocks[:, 16:].reshape(-1, 4, 32)).reshape(-1, 256), scales, minima


class PackedGGUF(GGUFFile):
    """A GGUF file whose matrices in a precision of `KEPT` are read as rows of codes, scales and minima."""

    def _unpacked(self, name: str) -> Tensor:
        stored, shape = self._places[name], self.shapes[name]
        precision = stored.tensor_type.name
        if precision not in KEPT or len(shape) != 2:
            return super()._unpacked(name)
        _, size = gguf.GGML_QUANT_SIZES[stored.tensor_type]
        data = np.asarray(stored.data).reshape(shape[0], -1)
        parts = shape[1] // GROUP * (1 if precision == "Q8_0" else 2)
        rows = np.empty((shape[0], shape[1] + parts), np.float32)
        for start in range(0, shape[0], ROWS):
            some = data[start : start + ROWS]
            split = split_blocks(some.reshape(-1, size), precision)
            np.concatenate([each.reshape(len(some), -1) for each in split], 1, out=rows[start : start + ROWS])
        return torch.from_numpy(rows)


def laid_out(rows: Tensor, inputs: int) -> Quantized:
    """Return the matrix of rows of codes, scales and, in int4, minima."""
    groups = inputs // GROUP
    codes, scales, minima = rows[:, :inputs], rows[:, inputs : inputs + groups], rows[:, inputs + groups :]
    if minima.size(1) == 0:
        return lay_out(codes.to(torch.int8), scales)
    return lay_out(codes.to(torch.uint8), scales, minima)


def read_packed(
    theirs: Mapping[str, Tensor], rules: Sequence[TensorRule], config: DecoderConfig, ignored: str | None, where: str
) -> tuple[Decoder, QuantizationConfig]:
    """Build a quantized decoder: in int4 where a matrix of a layer is stored so, else in int8.

    Matrices in another form are rounded to that one, and a line says how many. Raises `UserError` for a mixture of
    experts, and as `to_ours` does.
    """
    if isinstance(config.feed_forward, ExpertsConfig):
        raise UserError(f"{where}: a mixture of experts is not kept quantized; leave out --dtype quantized")
    expected, plain, packed = shapes(config), dict[str, Tensor](), dict[str, Quantized]()
    for name, tensor in to_ours(theirs, rules, config, ignored):
        if tensor.shape == expected[name]:
            plain[name] = tensor.contiguous()
        else:
            packed[name] = laid_out(tensor.contiguous(), expected[name][1])
    four = any(matrix.minima is not None and name.startswith("blocks.") for name, matrix in packed.items())
    chosen = QuantizationConfig("int4" if four else "int8", "stored" if packed else "nearest")
    places = {name: torch.zeros(1).expand(expected[name]) for name in packed}
    decoder = fill(outline(config), {**plain, **places})
    counts = Counter[str]()
    for name, part in quantizable(decoder).items():
        matrix = packed.pop(f"{name}.weight", None)
        if matrix is not None and (matrix.minima is not None) == in_int4(name, part, chosen.to):
            counts["kept"] += 1
        else:
            counts["rounded"] += 1
            if matrix is not None:
                part.weight = torch.nn.Parameter(matrix.unpacked())
            matrix = pack(name, part, chosen.to)
        replace(decoder, name, matrix)
    for name, matrix in packed.items():  # small layers, which are not quantized here
        decoder.get_parameter(name).data = matrix.unpacked()
    say(f"({counts['kept']} matrices keep their codes; {counts['rounded']} are rounded to {chosen.to} or int8)")
    return decoder, chosen
