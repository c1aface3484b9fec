"""The parts of a decode step beside its products: norms, activations, rotation, attention to cached positions."""

from __future__ import annotations

from math import erf, sqrt
from typing import Any

import numpy as np
from numba import njit

from scratchlm.compiled.products import FLAGS, f32, i32
from scratchlm.model.blocks import BLOCK

RMS, LAYER = 0, 1
"""Kinds of norm."""
SILU, GELU, GELU_TANH, RELU_SQUARED = range(4)
"""Kinds of activation."""
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


@njit(nogil=True, error_model="numpy", fastmath=FLAGS)
def add_scores(query: Any, keys: Any, scores: Any) -> None:
    """Set `scores (BLOCK,)` to the products of a query with the keys `(E, BLOCK)` of one block."""
    scores[:] = f32(0)
    channels = query.size
    blocks_of_8 = channels - channels % 8
    for e in range(0, blocks_of_8, 8):
        q0, q1, q2, q3 = query[e], query[e + 1], query[e + 2], query[e + 3]
        q4, q5, q6, q7 = query[e + 4], query[e + 5], query[e + 6], query[e + 7]
        k0, k1, k2, k3 = keys[e], keys[e + 1], keys[e + 2], keys[e + 3]
        k4, k5, k6, k7 = keys[e + 4], keys[e + 5], keys[e + 6], keys[e + 7]
        for t in range(BLOCK):
            scores[t] += (
                q0 * k0[t] + q1 * k1[t] + q2 * k2[t] + q3 * k3[t] + q4 * k4[t] + q5 * k5[t] + q6 * k6[t] + q7 * k7[t]
            )
    for e in range(blocks_of_8, channels):
        q0, k0 = query[e], keys[e]
        for t in range(BLOCK):
            scores[t] += q0 * k0[t]


@njit(nogil=True, error_model="numpy", fastmath=FLAGS)
def attend(sizes: Any, query: Any, keys: Any, values: Any, blocks: Any, span: Any, scores: Any, out: Any) -> None:
    """Set `out (E,)` to the mean of the values at the positions of `span`, weighted by softmax.

    `keys (blocks, E, BLOCK)` and `values (blocks, BLOCK, E)` are those of one head; `blocks` says where each block of
    the text lies.
    """
    first, length = span
    scale, softcap = f32(sizes.scale), f32(sizes.softcap)
    for number in range(first // BLOCK, (length + BLOCK - 1) // BLOCK):
        add_scores(query, keys[blocks[number]], scores[number * BLOCK : (number + 1) * BLOCK])
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
    for number in range(first // BLOCK, (length + BLOCK - 1) // BLOCK):
        start = max(first, number * BLOCK)
        end = min(length, (number + 1) * BLOCK)
        add_values(scores[start:end], values[blocks[number]][start - number * BLOCK : end - number * BLOCK], out)
    inverse = f32(1) / total
    for e in range(out.size):
        out[e] *= inverse


@njit(nogil=True, error_model="numpy", fastmath=FLAGS)
def add_values(weights: Any, values: Any, out: Any) -> None:
    """Add the weighted values `(positions, E)` to `out`, four positions at a time."""
    t = 0
    while t + 4 <= weights.size:
        s0, s1, s2, s3 = weights[t], weights[t + 1], weights[t + 2], weights[t + 3]
        v0, v1, v2, v3 = values[t], values[t + 1], values[t + 2], values[t + 3]
        for e in range(out.size):
            out[e] += s0 * v0[e] + s1 * v1[e] + s2 * v2[e] + s3 * v3[e]
        t += 4
    while t < weights.size:
        s0, v0 = weights[t], values[t]
        for e in range(out.size):
            out[e] += s0 * v0[e]
        t += 1
