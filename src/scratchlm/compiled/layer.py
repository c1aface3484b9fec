"""Parts of a decode step that read a layer's row of the table: products, norms, heads."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import carray, njit

from scratchlm.compiled.atomic import pointer
from scratchlm.compiled.parts import exponential, normalise, rotate
from scratchlm.compiled.products import FLAGS, Rounded, dot, f32, multiply
from scratchlm.compiled.tables import (
    BIAS,
    CODES,
    COS,
    LORA_A,
    LORA_B,
    LORA_RANK,
    LORA_SCALE,
    MINIMA,
    OF_MATRIX,
    SCALES,
    SIN,
    VALUE_GATE,
    VALUE_SCALES,
    VALUE_TABLE,
    LayerTable,
)
from scratchlm.compiled.vectors import load_half
from scratchlm.model.quantized import GROUP, TILE


@njit(nogil=True, error_model="numpy")
def copy(x: Any, out: Any) -> None:
    """Copy a vector. Assigning a slice would do the same, and have numba compile its error message, for seconds."""
    for i in range(x.size):
        out[i] = x[i]


@njit(nogil=True, error_model="numpy")
def vector(address: int, size: int) -> Any:
    """Return the fp32 vector at an address; an empty one at address 0."""
    return carray(pointer(address), (size if address else 0,), np.float32)


@njit(nogil=True, error_model="numpy")
def bounds(layer: LayerTable, chunk: int, chunks: int, outputs: int) -> tuple[int, int]:
    """Return where a chunk of a matrix's outputs begins and ends; outputs of one tile stay together."""
    unit = TILE if layer.kind.ndim == 3 else 1
    units = (outputs + unit - 1) // unit
    return min(outputs, units * chunk // chunks * unit), min(outputs, units * (chunk + 1) // chunks * unit)


@njit(nogil=True, error_model="numpy")
def heads_together(layer: LayerTable) -> int:
    """Return how many heads fill whole tiles of a matrix; 1 where it does not lie in tiles."""
    heads, unit = 1, TILE if layer.kind.ndim == 3 else 1
    while heads * layer.sizes.head_dim % unit:
        heads += 1
    return heads


@njit(nogil=True, error_model="numpy")
def product(layer: LayerTable, which: int, x: Any, rounded: Rounded, out: Any, first: int, last: int) -> None:
    """Multiply with some outputs of one matrix of a table; add their bias, and what an adapter adds."""
    outputs, of = out.shape[1], layer.place[OF_MATRIX * which : OF_MATRIX * (which + 1)]
    multiply(layer.kind, (of[CODES], of[SCALES], of[MINIMA]), x, rounded, out, first, last)
    bias = vector(of[BIAS], outputs)
    if bias.size:
        for b in range(out.shape[0]):
            for i in range(first, last):
                out[b, i] += bias[i]
    if of[LORA_A]:
        adapt(of, x, out, first, last)


@njit(nogil=True, error_model="numpy", fastmath=FLAGS)
def adapt(of: Any, x: Any, out: Any, first: int, last: int) -> None:
    """Add the scaled low-rank products of an adapter to some outputs."""
    rank, scale = of[LORA_RANK], vector(of[LORA_SCALE], 1)[0]
    narrowing = carray(pointer(of[LORA_A]), (rank, x.shape[1]), np.float32)
    rows = carray(pointer(of[LORA_B]), (out.shape[1], rank), np.float32)
    inside = np.empty(rank, f32)
    for b in range(x.shape[0]):
        for r in range(rank):
            inside[r] = dot(narrowing[r], x[b])
        for i in range(first, last):
            row, total = rows[i], f32(0)
            for r in range(rank):
                total += row[r] * inside[r]
            out[b, i] += scale * total


@njit(nogil=True, error_model="numpy", fastmath=FLAGS)
def norm_rows(layer: LayerTable, which: int, x: Any, out: Any) -> None:
    """Normalise each row."""
    sizes, place = layer.sizes, layer.place
    weight, bias = vector(place[which], sizes.width), vector(place[which + 1], sizes.width)
    for b in range(x.shape[0]):
        normalise(sizes.norm, x[b], weight, bias, sizes.eps, sizes.norm_offset, out[b])


@njit(nogil=True, error_model="numpy")
def read_rows(layer: LayerTable, which: int, x: Any, normed: Any) -> None:
    """Set `normed` to what a branch reads of the stream."""
    if layer.sizes.norm_before:
        norm_rows(layer, which, x, normed)
    else:
        for b in range(x.shape[0]):
            copy(x[b], normed[b])


@njit(nogil=True, error_model="numpy", fastmath=FLAGS)
def add_embedded_value(layer: LayerTable, head: int, id: int, x: Any, value: Any) -> None:
    """Add the token's own vector to the value of one head, through a gate that the layer's input opens."""
    sizes, place = layer.sizes, layer.place
    size, channels = sizes.head_dim, sizes.gate_channels
    gate, inside = vector(place[VALUE_GATE] + 4 * channels * head, channels), f32(0)
    for i in range(channels):
        inside += gate[i] * x[i]
    opened = f32(2) / (f32(1) + exponential(-inside))
    if place[VALUE_SCALES]:
        groups = (size * sizes.kv_heads + GROUP - 1) // GROUP
        codes = carray(pointer(place[VALUE_TABLE]), (id // TILE + 1, groups, GROUP // 4, TILE, 4), np.int8)
        for e in range(size):
            group, at = (size * head + e) // GROUP, (size * head + e) % GROUP
            scale = load_half(place[VALUE_SCALES] + 2 * (TILE * (id // TILE * groups + group) + id % TILE))
            value[e] += opened * (scale * f32(codes[id // TILE, group, at // 4, id % TILE, at % 4]))
    else:
        added = vector(place[VALUE_TABLE] + 4 * size * (id * sizes.kv_heads + head), size)
        for e in range(size):
            value[e] += opened * added[e]


@njit(nogil=True, error_model="numpy", fastmath=FLAGS)
def turn_head(layer: LayerTable, norm: int, position: int, x: Any) -> None:
    """Normalise one head and rotate it, in the model's order."""
    sizes, place = layer.sizes, layer.place
    weight = vector(place[norm], x.size)
    none = vector(0, 0)
    if sizes.qk_norm == 1:
        normalise(0, x, weight, none, sizes.qk_eps, sizes.qk_offset, x)
    if sizes.half:
        cos = vector(place[COS] + 4 * sizes.half * position, sizes.half)
        rotate(x, cos, vector(place[SIN] + 4 * sizes.half * position, sizes.half))
    if sizes.qk_norm == 2:
        normalise(0, x, weight, none, sizes.qk_eps, sizes.qk_offset, x)


@njit(nogil=True, error_model="numpy", fastmath=FLAGS)
def add_rows(stream: Any, branch: Any, first: int, last: int) -> None:
    """Add some channels of a branch to the stream."""
    for b in range(stream.shape[0]):
        row, added = stream[b, first:last], branch[b, first:last]
        for i in range(row.size):
            row[i] += added[i]
