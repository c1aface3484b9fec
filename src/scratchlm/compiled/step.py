"""One decode step as one compiled function: the next token of several texts, from embeddings to logits.

The phases are those of `model/decoder.py`, which is the plain form: norm, projections, rotation, attention to the
cache, output, norm, feed-forward. Threads share the chunks of a phase (`sharing.py`). A row of a step is one new
token: of several texts, or several of one text, each of which sees those before it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import carray, njit

from scratchlm.compiled.atomic import pointer
from scratchlm.compiled.parts import activate, attend, exponential, normalise, rotate
from scratchlm.compiled.products import FLAGS, f32, matrix, multiply, scales_of
from scratchlm.compiled.sharing import claim, enter, finish, leave, wait
from scratchlm.model.blocks import BLOCK

QUERY, KEY, VALUE, OUTPUT, GATE, UP, DOWN, HEAD = range(8)
"""Matrices: each has the addresses of codes, scales and bias at `3 * matrix` of a table."""
ATTENTION_NORM, ATTENTION_OUT_NORM, FEED_FORWARD_NORM, FEED_FORWARD_OUT_NORM, QUERY_NORM, KEY_NORM = range(24, 36, 2)
"""Norms: weight and bias, 0 for none."""
CACHED_KEYS, CACHED_VALUES, COS, SIN, WINDOW, VALUE_GATE, VALUE_TABLE = range(36, 43)
VALUE_SCALES, X0_STREAM, X0_EMBEDDED = 43, 44, 45
PLACES = 46
"""Numbers of a layer in the table."""
FINAL_NORM = ATTENTION_NORM
"""Place of the final norm in the table of what belongs to no layer."""
PHASES = 9
"""Phases of a layer."""


class Sizes(NamedTuple):
    """What of a model's configuration the step needs; a switch is 0 or 1."""

    layers: int
    width: int
    heads: int
    kv_heads: int
    head_dim: int
    hidden: int
    vocabulary: int
    half: int
    """Pairs of channels that are rotated."""
    norm: int
    eps: float
    norm_offset: float
    norm_before: int
    norm_after: int
    qk_norm: int
    """0: none, 1: of each head, 2: of each head after the rotation, 3: of all heads together."""
    qk_eps: float
    qk_offset: float
    scale: float
    """What scores are multiplied by."""
    softcap: float
    activation: int
    gated: int
    logit_softcap: float
    gate_channels: int
    """Channels of a layer's input that the gate of a value embedding reads."""
    chunks: int
    """Chunks that a product is cut into."""
    blocks: int
    """Blocks of the cache."""

    def record(self) -> Any:
        """Return the sizes as a record of numpy, which compiled code takes as one pointer."""
        kinds = [(name, np.float64 if isinstance(each, float) else np.int64) for name, each in self._asdict().items()]
        return np.array([tuple(self)], dtype=kinds)[0]


class Rows(NamedTuple):
    """The new tokens of a step."""

    ids: npt.NDArray[np.int64]
    positions: npt.NDArray[np.int64]
    blocks: npt.NDArray[np.int64]
    """Where the blocks of each row's text lie in the cache, shape `(rows, most blocks of a text)`."""


class Work(NamedTuple):
    """Arrays that the threads share, with a row for each new token."""

    embedded: npt.NDArray[np.float32]
    stream: npt.NDArray[np.float32]
    queries: npt.NDArray[np.float32]
    keys: npt.NDArray[np.float32]
    values: npt.NDArray[np.float32]
    mixed: npt.NDArray[np.float32]
    branch: npt.NDArray[np.float32]
    gate: npt.NDArray[np.float32]
    inner: npt.NDArray[np.float32]
    logits: npt.NDArray[np.float32]


class Model(NamedTuple):
    """A model in tables of addresses."""

    sizes: Any
    layers: npt.NDArray[np.int64]
    """Shape `(layers, PLACES)`."""
    whole: npt.NDArray[np.int64]
    """What belongs to no layer, in the same places."""
    kind: Any
    """An empty array in the form of the layers' matrices."""
    head_kind: Any


@njit(nogil=True)
def copy(x: Any, out: Any) -> None:
    """Copy a vector. Assigning a slice would do the same, and have numba compile its error message, for seconds."""
    for i in range(x.size):
        out[i] = x[i]


@njit(nogil=True)
def vector(address: int, size: int) -> Any:
    """Return the fp32 vector at an address; an empty one at address 0."""
    return carray(pointer(address), (size if address else 0,), np.float32)


@njit(nogil=True)
def bounds(chunk: int, chunks: int, size: int, unit: int) -> tuple[int, int]:
    """Return where a chunk of `size` outputs begins and ends, in whole units."""
    units = (size + unit - 1) // unit
    return min(size, units * chunk // chunks * unit), min(size, units * (chunk + 1) // chunks * unit)


@njit(nogil=True)
def product(place: Any, which: int, kind: Any, x: Any, out: Any, first: int, last: int) -> None:
    """Multiply with some outputs of one matrix of a table, and add their bias."""
    outputs, inputs = out.shape[1], x.shape[1]
    codes = matrix(kind, place[3 * which], outputs, inputs)
    multiply(codes, scales_of(kind, place[3 * which + 1], outputs, inputs), x, out, first, last)
    bias = vector(place[3 * which + 2], outputs)
    if bias.size:
        for b in range(out.shape[0]):
            for i in range(first, last):
                out[b, i] += bias[i]


@njit(nogil=True)
def unit_of(kind: Any) -> int:
    """Return how many outputs of a matrix stand together."""
    return 128 if kind.ndim == 3 else 1


@njit(nogil=True, fastmath=FLAGS)
def norm_rows(sizes: Any, place: Any, which: int, x: Any, out: Any) -> None:
    """Normalise each row."""
    weight, bias = vector(place[which], sizes.width), vector(place[which + 1], sizes.width)
    for b in range(x.shape[0]):
        normalise(sizes.norm, x[b], weight, bias, sizes.eps, sizes.norm_offset, out[b])


@njit(nogil=True, fastmath=FLAGS)
def begin(board: Any, phase: int, sizes: Any, whole: Any, layer: int, embedded: Any, stream: Any) -> None:
    """Set the stream to the embedding before the first layer; then scale it and mix the embedding in. One chunk."""
    if claim(board, phase) == 0:
        for b in range(stream.shape[0]):
            row, first = stream[b], embedded[b]
            if layer == 0:
                copy(first, row)
            if whole[X0_STREAM]:
                kept = vector(whole[X0_STREAM], sizes.layers)[layer]
                added = vector(whole[X0_EMBEDDED], sizes.layers)[layer]
                for i in range(row.size):
                    row[i] = kept * row[i] + added * first[i]
        finish(board, phase)
    wait(board, phase, 1)


@njit(nogil=True)
def project(
    board: Any, phase: int, sizes: Any, place: Any, kind: Any, stream: Any, normed: Any, queries: Any, keys: Any,
    values: Any,
) -> None:  # fmt: skip
    """Compute queries, keys and values of the new tokens."""
    chunks = 3 * sizes.chunks
    chunk = claim(board, phase)
    if chunk < chunks:
        read_rows(sizes, place, ATTENTION_NORM, stream, normed)
    while chunk < chunks:
        which, part = chunk % 3, chunk // 3
        out = queries if which == QUERY else keys if which == KEY else values
        first, last = bounds(part, sizes.chunks, out.shape[1], unit_of(kind))
        product(place, which, kind, normed, out, first, last)
        finish(board, phase)
        chunk = claim(board, phase)
    wait(board, phase, chunks)


@njit(nogil=True)
def read_rows(sizes: Any, place: Any, which: int, x: Any, normed: Any) -> None:
    """Set `normed` to what a branch reads of the stream."""
    if sizes.norm_before:
        norm_rows(sizes, place, which, x, normed)
    else:
        for b in range(x.shape[0]):
            copy(x[b], normed[b])


@njit(nogil=True, fastmath=FLAGS)
def place_heads(
    board: Any, phase: int, sizes: Any, place: Any, rows: Rows, stream: Any, normed: Any, queries: Any, keys: Any,
    values: Any,
) -> None:  # fmt: skip
    """Normalise and rotate queries and keys; put keys and values into the cache. A chunk is a head of a row."""
    each = sizes.heads + 2 * sizes.kv_heads
    chunks, size = each * len(rows.ids), sizes.head_dim
    chunk = claim(board, phase)
    if chunk < chunks and place[VALUE_TABLE]:
        read_rows(sizes, place, ATTENTION_NORM, stream, normed)  # the thread may have had no part in the products
    while chunk < chunks:
        b, head = chunk // each, chunk % each
        position = rows.positions[b]
        block, at = rows.blocks[b, position // BLOCK], position % BLOCK
        if head < sizes.heads:
            turn_head(sizes, place, QUERY_NORM, position, queries[b, head * size : (head + 1) * size])
        elif head < sizes.heads + sizes.kv_heads:
            head -= sizes.heads
            key = keys[b, head * size : (head + 1) * size]
            turn_head(sizes, place, KEY_NORM, position, key)
            cached = carray(pointer(place[CACHED_KEYS]), (block + 1, sizes.kv_heads, size, BLOCK), np.float32)
            for e in range(size):
                cached[block, head, e, at] = key[e]
        else:
            head -= sizes.heads + sizes.kv_heads
            value = values[b, head * size : (head + 1) * size]
            if place[VALUE_TABLE]:
                add_embedded_value(sizes, place, head, rows.ids[b], normed[b], value)
            cached = carray(pointer(place[CACHED_VALUES]), (block + 1, sizes.kv_heads, BLOCK, size), np.float32)
            copy(value, cached[block, head, at])
        finish(board, phase)
        chunk = claim(board, phase)
    wait(board, phase, chunks)


@njit(nogil=True, fastmath=FLAGS)
def add_embedded_value(sizes: Any, place: Any, head: int, id: int, x: Any, value: Any) -> None:
    """Add the token's own vector to the value of one head, through a gate that the layer's input opens."""
    size, channels = sizes.head_dim, sizes.gate_channels
    gate, inside = vector(place[VALUE_GATE] + 4 * channels * head, channels), f32(0)
    for i in range(channels):
        inside += gate[i] * x[i]
    opened = f32(2) / (f32(1) + exponential(-inside))
    first = size * (id * sizes.kv_heads + head)
    if place[VALUE_SCALES]:
        opened *= vector(place[VALUE_SCALES] + 4 * id, 1)[0]
        codes = carray(pointer(place[VALUE_TABLE] + first), (size,), np.int8)
        for e in range(size):
            value[e] += opened * f32(codes[e])
    else:
        added = vector(place[VALUE_TABLE] + 4 * first, size)
        for e in range(size):
            value[e] += opened * added[e]


@njit(nogil=True, fastmath=FLAGS)
def turn_head(sizes: Any, place: Any, norm: int, position: int, x: Any) -> None:
    """Normalise one head and rotate it, in the model's order."""
    weight = vector(place[norm], x.size)
    none = vector(0, 0)
    if sizes.qk_norm == 1:
        normalise(0, x, weight, none, sizes.qk_eps, sizes.qk_offset, x)
    if sizes.half:
        cos = vector(place[COS] + 4 * sizes.half * position, sizes.half)
        rotate(x, cos, vector(place[SIN] + 4 * sizes.half * position, sizes.half))
    if sizes.qk_norm == 2:
        normalise(0, x, weight, none, sizes.qk_eps, sizes.qk_offset, x)


@njit(nogil=True)
def mix(board: Any, phase: int, sizes: Any, place: Any, rows: Rows, queries: Any, mixed: Any, scores: Any) -> None:
    """Attend: a chunk is a query head of a row."""
    size, chunks, most = sizes.head_dim, sizes.heads * len(rows.ids), sizes.blocks
    keys = carray(pointer(place[CACHED_KEYS]), (most, sizes.kv_heads, size, BLOCK), np.float32)
    values = carray(pointer(place[CACHED_VALUES]), (most, sizes.kv_heads, BLOCK, size), np.float32)
    chunk = claim(board, phase)
    while chunk < chunks:
        b, head = chunk // sizes.heads, chunk % sizes.heads
        shared, length = head * sizes.kv_heads // sizes.heads, rows.positions[b] + 1
        first = max(0, length - place[WINDOW]) if place[WINDOW] else 0
        query, out = queries[b, head * size : (head + 1) * size], mixed[b, head * size : (head + 1) * size]
        attend(
            query, keys[:, shared], values[:, shared], rows.blocks[b], first, length, sizes.scale, sizes.softcap,
            scores, out,
        )  # fmt: skip
        finish(board, phase)
        chunk = claim(board, phase)
    wait(board, phase, chunks)


@njit(nogil=True)
def join(
    board: Any, phase: int, sizes: Any, place: Any, kind: Any, which: int, x: Any, branch: Any, stream: Any
) -> None:
    """Project what a branch computed back, and add it to the stream unless it is normalised first."""
    chunk = claim(board, phase)
    while chunk < sizes.chunks:
        first, last = bounds(chunk, sizes.chunks, sizes.width, unit_of(kind))
        product(place, which, kind, x, branch, first, last)
        if not sizes.norm_after:
            add_rows(stream, branch, first, last)
        finish(board, phase)
        chunk = claim(board, phase)
    wait(board, phase, sizes.chunks)


@njit(nogil=True, fastmath=FLAGS)
def add_rows(stream: Any, branch: Any, first: int, last: int) -> None:
    """Add some channels of a branch to the stream."""
    for b in range(stream.shape[0]):
        row, added = stream[b, first:last], branch[b, first:last]
        for i in range(row.size):
            row[i] += added[i]


@njit(nogil=True)
def add_normed(
    board: Any, phase: int, sizes: Any, place: Any, which: int, branch: Any, normed: Any, stream: Any
) -> None:
    """Add a branch to the stream after its norm: one chunk."""
    if claim(board, phase) == 0:
        norm_rows(sizes, place, which, branch, normed)
        add_rows(stream, normed, 0, sizes.width)
        finish(board, phase)
    wait(board, phase, 1)


@njit(nogil=True)
def widen(
    board: Any, phase: int, sizes: Any, place: Any, kind: Any, stream: Any, normed: Any, gates: Any, inner: Any
) -> None:
    """Compute the inside of the feed-forward."""
    chunk = claim(board, phase)
    if chunk < sizes.chunks:
        read_rows(sizes, place, FEED_FORWARD_NORM, stream, normed)
    while chunk < sizes.chunks:
        first, last = bounds(chunk, sizes.chunks, sizes.hidden, unit_of(kind))
        product(place, UP, kind, normed, inner, first, last)
        if sizes.gated:
            product(place, GATE, kind, normed, gates, first, last)
        for b in range(inner.shape[0]):
            up, gate = inner[b, first:last], gates[b, first:last]
            if sizes.gated:
                activate(sizes.activation, gate)
                for i in range(up.size):
                    up[i] *= gate[i]
            else:
                activate(sizes.activation, up)
        finish(board, phase)
        chunk = claim(board, phase)
    wait(board, phase, sizes.chunks)


@njit(nogil=True, fastmath=FLAGS)
def score(board: Any, phase: int, sizes: Any, place: Any, kind: Any, stream: Any, normed: Any, logits: Any) -> None:
    """Compute the logits."""
    chunks = 8 * sizes.chunks
    chunk = claim(board, phase)
    if chunk < chunks:
        norm_rows(sizes, place, FINAL_NORM, stream, normed)
    while chunk < chunks:
        first, last = bounds(chunk, chunks, sizes.vocabulary, unit_of(kind))
        product(place, HEAD, kind, normed, logits, first, last)
        if sizes.logit_softcap > 0:
            cap = f32(sizes.logit_softcap)
            for b in range(normed.shape[0]):
                part = logits[b, first:last]
                for i in range(part.size):
                    part[i] = cap * (f32(2) / (f32(1) + exponential(f32(-2) * part[i] / cap)) - f32(1))
        finish(board, phase)
        chunk = claim(board, phase)
    wait(board, phase, chunks)


@njit(nogil=True, cache=True)
def decode_step(board: Any, door: Any, epoch: int, model: Model, rows: Rows, work: Work) -> None:
    """Take part in a step, with all threads that call this with the same arguments."""
    if not enter(door, epoch):
        return
    sizes, kind = model.sizes, model.kind
    stream, branch = work.stream, work.branch
    queries, keys, values, mixed = work.queries, work.keys, work.values, work.mixed
    normed = np.empty_like(stream)
    scores = np.empty(rows.blocks.shape[1] * BLOCK, f32)
    phase = 0
    for layer in range(sizes.layers):
        place = model.layers[layer]
        if layer == 0 or model.whole[X0_STREAM]:
            begin(board, phase + 8, sizes, model.whole, layer, work.embedded, stream)
        project(board, phase, sizes, place, kind, stream, normed, queries, keys, values)
        place_heads(board, phase + 1, sizes, place, rows, stream, normed, queries, keys, values)
        mix(board, phase + 2, sizes, place, rows, queries, mixed, scores)
        join(board, phase + 3, sizes, place, kind, OUTPUT, mixed, branch, stream)
        if sizes.norm_after:
            add_normed(board, phase + 4, sizes, place, ATTENTION_OUT_NORM, branch, normed, stream)
        widen(board, phase + 5, sizes, place, kind, stream, normed, work.gate, work.inner)
        join(board, phase + 6, sizes, place, kind, DOWN, work.inner, branch, stream)
        if sizes.norm_after:
            add_normed(board, phase + 7, sizes, place, FEED_FORWARD_OUT_NORM, branch, normed, stream)
        phase += PHASES
    score(board, phase, sizes, model.whole, model.head_kind, stream, normed, work.logits)
    leave(door)
