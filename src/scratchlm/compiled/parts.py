"""The parts of a decode step beside its products: norms, activations, rotation, attention to cached positions."""

from __future__ import annotations

from math import erf, sqrt
from typing import Any

import numpy as np
from numba import carray, njit

from scratchlm.compiled.atomic import pointer, read_ahead
from scratchlm.compiled.instructions import LANES
from scratchlm.compiled.products import FLAGS, LINE, f32, i32
from scratchlm.compiled.vectors import add_product, fill, load_floats, store_floats
from scratchlm.model.blocks import BLOCK

RMS, LAYER = 0, 1
"""Kinds of norm."""
SILU, GELU, GELU_TANH, RELU_SQUARED = range(4)
"""Kinds of activation."""
assert BLOCK == 2 * LANES  # the scores of a block are two vectors
LOG2E, LN2_HIGH, LN2_LOW = f32(1.4426950408889634), f32(0.693359375), f32(-2.12194440e-4)


@njit(nogil=True, error_model="numpy", fastmath=FLAGS, inline="always")
def exponential(x: Any) -> Any:
    """Return e to the power of `x` in fp32, within two units of its last place, in instructions that vectors have.

    x = n ln 2 + r; e^r by a polynomial (Cephes, expf), 2^n by writing n into the exponent. Below -87 it is that of -87.
    """
    x = min(max(x, f32(-87.0)), f32(88.0))
    n = np.floor(x * LOG2E + f32(0.5))
    r = x - n * LN2_HIGH - n * LN2_LOW
    p = f32(1.9875691500e-4)
    p = p * r + f32(1.3981999507e-3)
    p = p * r + f32(8.3334519073e-3)
    p = p * r + f32(4.1665795894e-2)
    p = p * r + f32(1.6666665459e-1)
    p = p * r + f32(5.0000001201e-1)
    power = i32(i32(i32(n) + i32(127)) << i32(23)).view(np.float32)
    return (p * r * r + r + f32(1)) * power


@njit(nogil=True, error_model="numpy", fastmath=FLAGS)
def normalise(kind: int, x: Any, weight: Any, bias: Any, eps: float, offset: float, out: Any) -> None:
    """Set `out` to the norm of `x`; an empty weight or bias is none. `offset` is added to the weight."""
    mean, square = f32(0), f32(0)
    if kind == LAYER:
        for i in range(x.size):
            mean += x[i]
        mean /= f32(x.size)
    for i in range(x.size):
        square += (x[i] - mean) * (x[i] - mean)
    inverse = f32(1) / f32(sqrt(square / f32(x.size) + f32(eps)))
    for i in range(x.size):
        out[i] = (x[i] - mean) * inverse
    if weight.size:
        for i in range(x.size):
            out[i] *= weight[i] + f32(offset)
    if bias.size:
        for i in range(x.size):
            out[i] += bias[i]


@njit(nogil=True, error_model="numpy", fastmath=FLAGS)
def activate(kind: int, x: Any) -> None:
    """Replace `x` by its activation."""
    if kind == SILU:
        for i in range(x.size):
            x[i] = x[i] / (f32(1) + exponential(-x[i]))
    elif kind == GELU_TANH:
        for i in range(x.size):
            inside = f32(1.5957691216057308) * (x[i] + f32(0.044715) * x[i] * x[i] * x[i])  # 2 sqrt(2 / pi)
            x[i] = x[i] / (f32(1) + exponential(-inside))  # since (1 + tanh(u / 2)) / 2 = 1 / (1 + e^-u)
    elif kind == GELU:
        for i in range(x.size):
            x[i] = f32(0.5) * x[i] * f32(1 + erf(x[i] / sqrt(2.0)))
    else:
        for i in range(x.size):
            positive = max(x[i], f32(0))
            x[i] = positive * positive


@njit(nogil=True, error_model="numpy", fastmath=FLAGS)
def rotate(x: Any, cos: Any, sin: Any) -> None:
    """Turn each pair of channels (i, i + half) of one head by its angle; further channels stay."""
    half = cos.size
    first, second = x[:half], x[half : 2 * half]
    for i in range(half):
        a, b = first[i], second[i]
        first[i] = a * cos[i] - b * sin[i]
        second[i] = b * cos[i] + a * sin[i]


@njit(nogil=True, error_model="numpy")
def score_block(query: Any, keys: Any, scores: Any) -> None:
    """Set `scores (BLOCK,)` to the products of a query with the keys `(E, BLOCK)` of one block.

    Even and odd channels have sums of their own, so that no product waits for the one before.
    """
    place = keys.ctypes.data
    a = b = c = d = fill(f32(0))
    for e in range(0, query.size - 1, 2):
        even, odd = fill(query[e]), fill(query[e + 1])
        a = add_product(even, load_floats(place), a)
        b = add_product(even, load_floats(place + 64), b)
        c = add_product(odd, load_floats(place + 128), c)
        d = add_product(odd, load_floats(place + 192), d)
        place += 256
    if query.size % 2:
        even = fill(query[query.size - 1])
        a = add_product(even, load_floats(place), a)
        b = add_product(even, load_floats(place + 64), b)
    one = fill(f32(1))
    store_floats(add_product(a, one, c), scores.ctypes.data)
    store_floats(add_product(b, one, d), scores.ctypes.data + 64)


@njit(nogil=True, error_model="numpy")
def of_block(sizes: Any, cached: int, head: int, block: int, rows: int, columns: int) -> Any:
    """Return what a block of the cache holds of one head; `cached` is the address of a layer's keys or values."""
    numbers = sizes.block_size * block + rows * columns * head
    return carray(pointer(cached + 4 * numbers), (rows, columns), np.float32)


@njit(nogil=True, error_model="numpy")
def fetch_block(part: Any) -> None:
    """Have a part of a block read, which will be needed soon: the processor does not know where the next block lies."""
    for at in range(0, 4 * part.size, LINE):
        read_ahead(part, at)


@njit(nogil=True, error_model="numpy", fastmath=FLAGS)
def attend(sizes: Any, query: Any, cached: Any, head: int, blocks: Any, span: Any, scores: Any, out: Any) -> None:
    """Set `out (E,)` to the mean of the values at the positions of `span`, weighted by softmax.

    `cached` are the addresses of a layer's keys and values, `head` is the one that the query looks at; `blocks` says
    where each block of the text lies.
    """
    first, length = span
    keys, values, size = cached[0], cached[1], query.size
    scale, softcap = f32(sizes.scale), f32(sizes.softcap)
    until = (length + BLOCK - 1) // BLOCK
    for number in range(first // BLOCK, until):
        if number + 1 < until:
            fetch_block(of_block(sizes, keys, head, blocks[number + 1], size, BLOCK))
        fetch_block(of_block(sizes, values, head, blocks[number], BLOCK, size))
        own = of_block(sizes, keys, head, blocks[number], size, BLOCK)
        score_block(query, own, scores[number * BLOCK : (number + 1) * BLOCK])
    seen = scores[first:length]
    largest = f32(-np.inf)
    for t in range(seen.size):
        seen[t] *= scale
    if softcap > 0:
        for t in range(seen.size):
            seen[t] = softcap * (f32(2) / (f32(1) + exponential(f32(-2) * seen[t] / softcap)) - f32(1))
    for t in range(seen.size):
        largest = max(largest, seen[t])
    total = f32(0)
    for t in range(seen.size):
        seen[t] = exponential(seen[t] - largest)
        total += seen[t]
    out[:] = f32(0)
    for number in range(first // BLOCK, until):
        start = max(first, number * BLOCK)
        end = min(length, (number + 1) * BLOCK)
        own = of_block(sizes, values, head, blocks[number], BLOCK, size)
        add_values(scores[start:end], own[start - number * BLOCK : end - number * BLOCK], out)
    inverse = f32(1) / total
    for e in range(out.size):
        out[e] *= inverse


@njit(nogil=True, error_model="numpy", fastmath=FLAGS)
def add_values(weights: Any, values: Any, out: Any) -> None:
    """Add the weighted values `(positions, E)` to `out`, 32 channels at a time, then what is left."""
    size, e = out.size, 0
    while e + 32 <= size:
        place, end = values.ctypes.data + 4 * e, out.ctypes.data + 4 * e
        a, b, c, d = load_floats(end), load_floats(end + 64), fill(f32(0)), fill(f32(0))
        for t in range(0, weights.size - 1, 2):
            even, odd = fill(weights[t]), fill(weights[t + 1])
            a = add_product(even, load_floats(place), a)
            b = add_product(even, load_floats(place + 64), b)
            c = add_product(odd, load_floats(place + 4 * size), c)
            d = add_product(odd, load_floats(place + 4 * size + 64), d)
            place += 8 * size
        if weights.size % 2:
            even = fill(weights[weights.size - 1])
            a = add_product(even, load_floats(place), a)
            b = add_product(even, load_floats(place + 64), b)
        one = fill(f32(1))
        store_floats(add_product(a, one, c), end)
        store_floats(add_product(b, one, d), end + 64)
        e += 32
    for t in range(weights.size):
        weight, value = weights[t], values[t]
        for rest in range(e, size):
            out[rest] += weight * value[rest]
