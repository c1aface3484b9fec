"""Products of a matrix with the vectors of a few rows: the work of a decode step, bound by how fast memory is read.

A matrix lies in one of two forms. By rows, in fp32, in bf16 (its 16 bits as unsigned numbers) or in int8 with a scale
for each output. Or in tiles of int4, as `model/quantized.py` packs them. What a product returns is called an output
here, since a row is one text of a batch.

The innermost loops run over slices that begin at 0. numba guards an index that might be negative, and LLVM makes no
vector instructions of a guarded loop.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import carray, njit, types
from numba.extending import overload

from scratchlm.compiled.atomic import pointer, read_ahead
from scratchlm.model.quantized import GROUP, TILE

FLAGS = {"reassoc", "contract", "arcp", "nsz"}
"""Sums may be reordered. Infinities and NaNs are kept, so that a model whose training diverged is noticed."""
HALF = TILE // 2
f32, i32, u32 = np.float32, np.int32, np.uint32
LOW, FOUR = i32(15), i32(4)
LINE, AHEAD = 64, 2304
"""Bytes of a line of memory, and how far ahead of the weight in use memory is read.

The processor's own reading ahead stops at each page of 4 KiB. In some minutes of a shared machine one thread read int8
a quarter faster with ours, in others hardly.
"""


def matrix(kind: Any, address: int, outputs: int, inputs: int) -> Any:
    """Return the matrix at an address in the form of the empty array `kind`."""
    raise RuntimeError("only compiled code calls it")


@overload(matrix, strict=False)
def _matrix(kind: Any, address: Any, outputs: Any, inputs: Any) -> Any:
    if kind.ndim == 3:
        return lambda kind, address, outputs, inputs: carray(
            pointer(address), ((outputs + TILE - 1) // TILE, inputs, HALF), np.uint8
        )
    stored = {types.int8: np.int8, types.uint16: np.uint16, types.float32: np.float32}[kind.dtype]
    return lambda kind, address, outputs, inputs: carray(pointer(address), (outputs, inputs), stored)


def group_values(kind: Any, address: int, outputs: int, inputs: int) -> Any:
    """Return the scales of a matrix, or its minima; an empty array where its form has none."""
    raise RuntimeError("only compiled code calls it")


@overload(group_values, strict=False)
def _group_values(kind: Any, address: Any, outputs: Any, inputs: Any) -> Any:
    if kind.ndim == 3:
        return lambda kind, address, outputs, inputs: carray(
            pointer(address), ((outputs + TILE - 1) // TILE, inputs // GROUP, TILE), np.uint16
        )
    if kind.dtype == types.int8:
        return lambda kind, address, outputs, inputs: carray(pointer(address), (outputs if address else 0,), np.float32)
    return lambda kind, address, outputs, inputs: np.empty(0, np.float32)


def number(stored: Any) -> Any:
    """Return a stored weight as fp32, without its scale."""
    raise RuntimeError("only compiled code calls it")


@overload(number, inline="always", strict=False)
def _number(stored: Any) -> Any:
    if stored == types.uint16:
        return lambda stored: u32(u32(stored) << u32(16)).view(np.float32)
    return lambda stored: f32(stored)


def multiply(packed: Any, x: Any, out: Any, first: int, last: int) -> None:
    """Set `out[b, first:last]` to the products of these outputs with each `x[b]`; of tiles, `first` begins one.

    `packed` are codes, scales and minima.
    """
    raise RuntimeError("only compiled code calls it")


@overload(multiply, jit_options={"nogil": True, "error_model": "numpy"}, strict=False)
def _multiply(packed: Any, x: Any, out: Any, first: Any, last: Any) -> Any:
    if packed[0].ndim == 2:
        return lambda packed, x, out, first, last: multiply_rows(packed[0], packed[1], x, out, first, last)

    def tiles(packed: Any, x: Any, out: Any, first: int, last: int) -> None:
        codes, scales, minima = packed
        if x.shape[0] == 1:
            multiply_tiles(codes, scales, minima, x[0], out[0], (first, last))
        else:
            multiply_unpacked_tiles(codes, scales, minima, x, out, (first, last))

    return tiles


@njit(nogil=True, error_model="numpy", fastmath=FLAGS)
def multiply_rows(codes: Any, scales: Any, x: Any, out: Any, first: int, last: int) -> None:
    """Multiply a matrix that lies by rows. Of several texts, four and two outputs are computed together."""
    rows, output = x.shape[0], first
    fours = rows - rows % 4
    if fours:
        while output + 2 <= last:
            read_row_ahead(codes[output], 2 * AHEAD)
            read_row_ahead(codes[output + 1], 2 * AHEAD)
            for b in range(0, fours, 4):
                multiply_square(codes[output], codes[output + 1], x, b, out, output)
            for b in range(fours, rows):
                out[b, output], out[b, output + 1] = dot(codes[output], x[b]), dot(codes[output + 1], x[b])
            output += 2
    for alone in range(output, last):
        read_row_ahead(codes[alone], AHEAD)
        for b in range(rows):
            out[b, alone] = dot(codes[alone], x[b])
    if scales.size:
        for b in range(rows):
            part, own = out[b, first:last], scales[first:last]
            for i in range(part.size):
                part[i] *= own[i]


@njit(nogil=True, error_model="numpy", fastmath=FLAGS)
def read_row_ahead(w: Any, ahead: int) -> None:
    """Have as many bytes read as a row has, some bytes ahead of it."""
    for at in range(0, w.size * w.itemsize, LINE):
        read_ahead(w, at + ahead)


@njit(nogil=True, error_model="numpy", fastmath=FLAGS)
def dot(w: Any, x: Any) -> Any:
    """Return the product of two vectors."""
    total = f32(0)
    for i in range(x.size):
        total += number(w[i]) * x[i]
    return total


@njit(nogil=True, error_model="numpy", fastmath=FLAGS, inline="always")
def multiply_square(w: Any, v: Any, x: Any, b: int, out: Any, output: int) -> None:
    """Set two outputs of four vectors, from `b` on, to their products with two rows of a matrix, each read once."""
    x0, x1, x2, x3 = x[b], x[b + 1], x[b + 2], x[b + 3]
    s0, s1, s2, s3 = f32(0), f32(0), f32(0), f32(0)
    t0, t1, t2, t3 = f32(0), f32(0), f32(0), f32(0)
    for i in range(x0.size):
        p, q = number(w[i]), number(v[i])
        s0 += p * x0[i]
        s1 += p * x1[i]
        s2 += p * x2[i]
        s3 += p * x3[i]
        t0 += q * x0[i]
        t1 += q * x1[i]
        t2 += q * x2[i]
        t3 += q * x3[i]
    out[b, output], out[b + 1, output], out[b + 2, output], out[b + 3, output] = s0, s1, s2, s3
    output += 1
    out[b, output], out[b + 1, output], out[b + 2, output], out[b + 3, output] = t0, t1, t2, t3


@njit(nogil=True, error_model="numpy", fastmath=FLAGS)
def multiply_tiles(codes: Any, scales: Any, minima: Any, x: Any, out: Any, span: Any) -> None:
    """Multiply int4 tiles with one vector.

    The lanes of a vector instruction are outputs, so no sum goes across them. A byte holds two codes, of which only the
    lower is cut out: the products of whole bytes, less those of the lower codes, are 16 times those of the upper. The
    minimum of a group is multiplied once with the sum of its inputs.
    """
    first, last = span
    groups = x.size // GROUP
    low, high = np.empty(HALF, f32), np.empty(HALF, f32)
    part_low, part_both = np.empty(HALF, f32), np.empty(HALF, f32)
    for tile in range(first // TILE, (last + TILE - 1) // TILE):
        low[:] = f32(0)
        high[:] = f32(0)
        for group in range(groups):
            total = f32(0)
            for i in range(group * GROUP, (group + 1) * GROUP):
                total += x[i]
            part_low[:] = f32(0)
            part_both[:] = f32(0)
            for i in range(group * GROUP, (group + 1) * GROUP, 2):
                w0, w1, x0, x1 = codes[tile, i], codes[tile, i + 1], x[i], x[i + 1]
                for r in range(HALF):
                    b0, b1 = i32(w0[r]), i32(w1[r])
                    part_low[r] += f32(i32(b0 & LOW)) * x0 + f32(i32(b1 & LOW)) * x1
                    part_both[r] += f32(b0) * x0 + f32(b1) * x1
            scale_low, scale_high = scales[tile, group, :HALF], scales[tile, group, HALF:]
            least_low, least_high = minima[tile, group, :HALF], minima[tile, group, HALF:]
            for r in range(HALF):
                part_high = (part_both[r] - part_low[r]) * f32(1 / 16)
                low[r] += part_low[r] * number(scale_low[r]) + total * number(least_low[r])
                high[r] += part_high * number(scale_high[r]) + total * number(least_high[r])
        at = tile * TILE
        for r in range(min(HALF, out.size - at)):
            out[at + r] = low[r]
        for r in range(min(HALF, out.size - at - HALF)):
            out[at + HALF + r] = high[r]


@njit(nogil=True, error_model="numpy", fastmath=FLAGS)
def multiply_unpacked_tiles(codes: Any, scales: Any, minima: Any, x: Any, out: Any, span: Any) -> None:
    """Multiply int4 tiles with several vectors: a group is unpacked to fp32 once, which stays in the first cache."""
    (rows, inputs), (first, last) = x.shape, span
    weights, sums = np.empty((GROUP, TILE), f32), np.empty((rows, TILE), f32)
    for tile in range(first // TILE, (last + TILE - 1) // TILE):
        sums[:] = f32(0)
        for group in range(inputs // GROUP):
            own = codes[tile, group * GROUP : (group + 1) * GROUP]
            unpack_group(own, scales[tile, group], minima[tile, group], weights)
            for b in range(rows):
                add_products(weights, x[b, group * GROUP : (group + 1) * GROUP], sums[b])
        at = tile * TILE
        for b in range(rows):
            for r in range(min(TILE, out.shape[1] - at)):
                out[b, at + r] = sums[b, r]


@njit(nogil=True, error_model="numpy", fastmath=FLAGS)
def unpack_group(codes: Any, scales: Any, minima: Any, weights: Any) -> None:
    """Set `weights (GROUP, TILE)` to what a group's codes, scales and minima stand for."""
    scale_low, scale_high, least_low, least_high = scales[:HALF], scales[HALF:], minima[:HALF], minima[HALF:]
    for i in range(GROUP):
        packed, low, high = codes[i], weights[i, :HALF], weights[i, HALF:]
        for r in range(HALF):
            both = i32(packed[r])
            low[r] = f32(i32(both & LOW)) * number(scale_low[r]) + number(least_low[r])
            high[r] = f32(i32(both >> FOUR)) * number(scale_high[r]) + number(least_high[r])


@njit(nogil=True, error_model="numpy", fastmath=FLAGS)
def add_products(weights: Any, x: Any, sums: Any) -> None:
    """Add to `sums (TILE,)` the products of a group's inputs with its weights, eight inputs at a time."""
    for i in range(0, GROUP, 8):
        x0, x1, x2, x3, x4, x5, x6, x7 = x[i], x[i + 1], x[i + 2], x[i + 3], x[i + 4], x[i + 5], x[i + 6], x[i + 7]
        w0, w1, w2, w3 = weights[i], weights[i + 1], weights[i + 2], weights[i + 3]
        w4, w5, w6, w7 = weights[i + 4], weights[i + 5], weights[i + 6], weights[i + 7]
        for r in range(TILE):
            sums[r] += (
                w0[r] * x0 + w1[r] * x1 + w2[r] * x2 + w3[r] * x3 + w4[r] * x4 + w5[r] * x5 + w6[r] * x6 + w7[r] * x7
            )
