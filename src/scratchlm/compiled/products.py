"""Products of a matrix with the vectors of some rows: nearly all of the work of a step.

A matrix lies in one of two forms. By rows, in fp32 or in bf16 (its 16 bits as unsigned numbers). Or in tiles of int8 or
int4, as `model/quantized.py` packs them; these are multiplied with inputs rounded to int8, in integers. What a
product returns is called an output here, since a row is one text of a batch.

The product of an output with group g of the inputs is

    scale[g] * input scale[g] * sum(code * input code)  +  minimum[g] * input scale[g] * sum(input code)

and groups are added up in fp32 from the first to the last. So one row alone and the same row among others give the
same numbers, bit for bit.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import carray, njit, types
from numba.extending import overload

from scratchlm.compiled.atomic import pointer, read_ahead
from scratchlm.compiled.vectors import (
    OFFSET,
    add_product,
    as_floats,
    byte_dots,
    fill,
    fill_sums,
    high,
    larger,
    largest_of,
    load_bytes,
    load_floats,
    load_halves,
    low,
    magnitude,
    nearest,
    nibble_dots,
    repeat_four,
    store_as_bytes,
    store_floats,
    sum_of,
    times,
    total_of,
)
from scratchlm.model.quantized import GROUP, LARGEST, SMALLEST, TILE

FLAGS = {"reassoc", "contract", "arcp", "nsz"}
"""Sums may be reordered. Infinities and NaNs are kept, so that a model whose training diverged is noticed."""
f32, i32, u32 = np.float32, np.int32, np.uint32
LINE, AHEAD = 64, 2304
"""Bytes of a line of memory, and how far ahead of the weight in use memory is read.

The processor's own reading ahead stops at each page of 4 KiB.
"""


class Rounded(NamedTuple):
    """Inputs of rows, rounded to int8 in groups; filled up with zeros to the end of the last one."""

    codes: npt.NDArray[np.int8]
    """Shape `(rows, GROUP * groups)`. Of rows that are rounded twice, the groups of what the first rounding leaves come
    after all others, and meet the same weights."""
    scales: npt.NDArray[np.float32]
    """Shape `(rows, groups)`."""
    sums: npt.NDArray[np.int32]
    """The sum of the codes of each group, of the same shape."""


def number(stored: Any) -> Any:
    """Return a stored weight as fp32."""
    raise RuntimeError("only compiled code calls it")


@overload(number, inline="always", strict=False)
def _number(stored: Any) -> Any:
    if stored == types.uint16:
        return lambda stored: u32(u32(stored) << u32(16)).view(np.float32)
    return lambda stored: f32(stored)


def multiply(kind: Any, places: Any, x: Any, rounded: Rounded, out: Any, first: int, last: int) -> None:
    """Set `out[b, first:last]` to the products of these outputs with each row; of tiles, `first` begins one.

    `places` are the addresses of codes or weights, of scales and of minima; `kind` is an empty array in the form of the
    matrix. Rows of `x` are multiplied where it has no codes, and those of `rounded` where it has.
    """
    raise RuntimeError("only compiled code calls it")


@overload(multiply, jit_options={"nogil": True, "error_model": "numpy"}, strict=False)
def _multiply(kind: Any, places: Any, x: Any, rounded: Any, out: Any, first: Any, last: Any) -> Any:
    if kind.ndim == 3:
        return lambda kind, places, x, rounded, out, first, last: multiply_tiles(
            kind, places, x.shape[1], rounded, out, first, last
        )
    stored = {types.uint16: np.uint16, types.float32: np.float32}[kind.dtype]

    def rows(kind: Any, places: Any, x: Any, rounded: Any, out: Any, first: int, last: int) -> None:
        multiply_rows(carray(pointer(places[0]), (out.shape[1], x.shape[1]), stored), x, out, first, last)

    return rows


@njit(nogil=True, error_model="numpy", fastmath=FLAGS)
def multiply_rows(codes: Any, x: Any, out: Any, first: int, last: int) -> None:
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


@njit(nogil=True, error_model="numpy", forceinline=True)
def group_dots_int8(codes: int, inputs: int, sum: Any) -> Any:
    """Return for 16 outputs of int8 the sum of the products of 32 codes with 32 input codes, whose own sum is given."""
    sums = fill_sums(i32(-OFFSET) * sum)
    for four in range(GROUP // 4):
        sums = byte_dots(sums, load_bytes(codes + 64 * four), repeat_four(inputs + 4 * four))
    return sums


@njit(nogil=True, error_model="numpy", forceinline=True)
def group_dots_int4(codes: int, x: int) -> Any:
    """Return for 16 outputs of int4 the sum of the products of 32 codes with 32 input codes."""
    a, b, c, d = load_bytes(codes), load_bytes(codes + 64), load_bytes(codes + 128), load_bytes(codes + 192)
    return nibble_dots(
        low(a), repeat_four(x), low(b), repeat_four(x + 4), low(c), repeat_four(x + 8), low(d), repeat_four(x + 12),
        high(a), repeat_four(x + 16), high(b), repeat_four(x + 20), high(c), repeat_four(x + 24),
        high(d), repeat_four(x + 28),
    )  # fmt: skip


def add_group(kind: Any, places: Any, group: int, inputs: int, scale: Any, sum: Any, total: Any) -> Any:
    """Add to the products of 16 outputs those of one group, the `group`th of the matrix, tile after tile.

    `inputs` is the address of its 32 input codes, `sum` their sum.
    """
    raise RuntimeError("only compiled code calls it")


@overload(add_group, jit_options={"nogil": True, "error_model": "numpy", "forceinline": True}, strict=False)
def _add_group(kind: Any, places: Any, group: Any, inputs: Any, scale: Any, sum: Any, total: Any) -> Any:
    def of_bytes(kind: Any, places: Any, group: int, inputs: int, scale: Any, sum: Any, total: Any) -> Any:
        dots = as_floats(group_dots_int8(places[0] + TILE * GROUP * group, inputs, sum))
        return add_product(times(load_halves(places[1] + 2 * TILE * group), fill(scale)), dots, total)

    def of_nibbles(kind: Any, places: Any, group: int, inputs: int, scale: Any, sum: Any, total: Any) -> Any:
        dots = as_floats(group_dots_int4(places[0] + TILE * GROUP // 2 * group, inputs))
        total = add_product(times(load_halves(places[1] + 2 * TILE * group), fill(scale)), dots, total)
        return add_product(load_halves(places[2] + 2 * TILE * group), fill(scale * f32(sum)), total)

    return of_bytes if kind.dtype == types.int8 else of_nibbles


@njit(nogil=True, error_model="numpy")
def multiply_tiles(kind: Any, places: Any, inputs: int, rounded: Rounded, out: Any, first: int, last: int) -> None:
    """Multiply tiles of int8 or int4 with rounded rows. Of several rows, four are multiplied with what is read once."""
    rows, every = rounded.scales.shape
    x, scales, sums = rounded.codes.ctypes.data, rounded.scales, rounded.sums
    step, groups = GROUP * every, (inputs + GROUP - 1) // GROUP
    for tile in range(first // TILE, (last + TILE - 1) // TILE):
        b = 0
        while b + 4 <= rows:
            p = q = r = s = fill(f32(0))
            for g in range(every):
                group, at = tile * groups + g % groups, x + step * b + GROUP * g
                p = add_group(kind, places, group, at, scales[b, g], sums[b, g], p)
                q = add_group(kind, places, group, at + step, scales[b + 1, g], sums[b + 1, g], q)
                r = add_group(kind, places, group, at + 2 * step, scales[b + 2, g], sums[b + 2, g], r)
                s = add_group(kind, places, group, at + 3 * step, scales[b + 3, g], sums[b + 3, g], s)
            put(out, b, TILE * tile, p)
            put(out, b + 1, TILE * tile, q)
            put(out, b + 2, TILE * tile, r)
            put(out, b + 3, TILE * tile, s)
            b += 4
        while b < rows:
            p = fill(f32(0))
            for g in range(every):
                group, at = tile * groups + g % groups, x + step * b + GROUP * g
                p = add_group(kind, places, group, at, scales[b, g], sums[b, g], p)
            put(out, b, TILE * tile, p)
            b += 1


@njit(nogil=True, error_model="numpy")
def put(out: Any, row: int, at: int, products: Any) -> None:
    """Write the products of 16 outputs, or of those that the matrix has of its last tile."""
    left = out.shape[1] - at
    if left >= TILE:
        store_floats(products, out.ctypes.data + 4 * (row * out.shape[1] + at))
    else:
        every = np.empty(TILE, f32)
        store_floats(products, every.ctypes.data)
        for i in range(left):
            out[row, at + i] = every[i]


@njit(nogil=True, error_model="numpy")
def round_row(x: Any, codes: Any, scales: Any, sums: Any) -> None:
    """Round the inputs of one row, as `round_inputs` of `model/quantized.py` does; twice if there is room for it."""
    groups = (x.size + GROUP - 1) // GROUP
    some = np.empty(GROUP, f32)
    for g in range(groups):
        here = x.ctypes.data + 4 * GROUP * g
        twice = scales.size > groups
        if twice or GROUP * (g + 1) > x.size:
            here = some.ctypes.data
            for i in range(GROUP):
                some[i] = x[GROUP * g + i] if GROUP * g + i < x.size else f32(0)
        round_group(here, codes.ctypes.data + GROUP * g, g, scales, sums)
        if twice:
            for i in range(GROUP):
                some[i] -= f32(codes[GROUP * g + i]) * scales[g]
            round_group(here, codes.ctypes.data + GROUP * (groups + g), groups + g, scales, sums)


@njit(nogil=True, error_model="numpy", forceinline=True)
def round_group(inputs: int, codes: int, group: int, scales: Any, sums: Any) -> None:
    """Round 32 numbers. Where one is infinite or NaN, the scale becomes NaN, and so does all that it is part of."""
    a, b = load_floats(inputs), load_floats(inputs + 64)
    largest = largest_of(larger(magnitude(a), magnitude(b)))
    check = sum_of(add_product(a, fill(f32(0)), times(b, fill(f32(0)))))  # 0, or NaN
    inverse = f32(LARGEST) / largest if largest > f32(SMALLEST) and check == f32(0) else f32(0)
    if check != f32(0):
        a = b = fill(f32(0))
    p, q = nearest(times(a, fill(inverse))), nearest(times(b, fill(inverse)))
    store_as_bytes(p, codes)
    store_as_bytes(q, codes + 16)
    scales[group] = largest / f32(LARGEST) + check
    sums[group] = total_of(p) + total_of(q)


def new_rounded(kind: Any, rows: int, inputs: int, passes: int = 1) -> Any:
    """Return room for rows rounded once or twice; none where matrices of this kind meet unrounded rows."""
    raise RuntimeError("only compiled code calls it")


@overload(new_rounded, jit_options={"nogil": True, "error_model": "numpy"}, strict=False)
def _new_rounded(kind: Any, rows: Any, inputs: Any, passes: Any = 1) -> Any:
    def room(kind: Any, rows: int, inputs: int, passes: int = 1) -> Any:
        groups = passes * ((inputs + GROUP - 1) // GROUP)
        codes = np.empty((rows, GROUP * groups), np.int8)
        return Rounded(codes, np.empty((rows, groups), f32), np.empty((rows, groups), i32))

    def none(kind: Any, rows: int, inputs: int, passes: int = 1) -> Any:
        return Rounded(np.empty((0, 0), np.int8), np.empty((0, 0), f32), np.empty((0, 0), i32))

    return room if kind.ndim == 3 else none


@njit(nogil=True, error_model="numpy")
def round_rows(x: Any, rounded: Rounded) -> None:
    """Round rows, if there is room for rounded ones."""
    for b in range(rounded.codes.shape[0]):
        round_row(x[b], rounded.codes[b], rounded.scales[b], rounded.sums[b])
