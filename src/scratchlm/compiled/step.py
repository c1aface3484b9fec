"""One decode step as one compiled function: the next token of several texts, from embeddings to logits.

The phases are those of `model/decoder.py`, which is the plain form: norm, projections, rotation, attention to the
cache, output, norm, feed-forward. Threads share the chunks of a phase (`sharing.py`). A row of a step is one new
token: of several texts, or several of one text, each of which sees those before it.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import carray, njit

from scratchlm.compiled.atomic import fetch, fetch_add, pointer
from scratchlm.compiled.instructions import chosen
from scratchlm.compiled.layer import (
    add_embedded_value,
    add_rows,
    bounds,
    copy,
    heads_together,
    norm_rows,
    product,
    read_rows,
    turn_head,
    vector,
)
from scratchlm.compiled.parts import activate, attend, exponential, of_block
from scratchlm.compiled.products import FLAGS, Rounded, f32, new_rounded, round_rows
from scratchlm.compiled.sharing import AWAKE, HEARD, called, claim, enter, finish, leave, wait
from scratchlm.compiled.tables import (
    ARRAYS,
    ATTENTION_NORM,
    ATTENTION_OUT_NORM,
    CACHED_KEYS,
    CACHED_VALUES,
    DOWN,
    FEED_FORWARD_NORM,
    FEED_FORWARD_OUT_NORM,
    FINAL_NORM,
    GATE,
    HEAD,
    IDS,
    KEY,
    KEY_NORM,
    MOST_BLOCKS,
    OUTPUT,
    PHASES,
    POSITIONS,
    QUERY,
    QUERY_NORM,
    ROWS,
    TABLES,
    UP,
    VALUE,
    VALUE_TABLE,
    WANTED,
    WANTED_ROWS,
    WINDOW,
    X0_EMBEDDED,
    X0_STREAM,
    Call,
    Heads,
    LayerTable,
    Model,
    Rows,
    StepArrays,
    Turn,
)
from scratchlm.model.blocks import BLOCK
from scratchlm.model.quantized import GROUP, LARGEST, SMALLEST, TILE

ATTENTION_CHUNKS = 8
"""Most chunks of attention for each of a product's: a head takes unlike times in texts of unlike lengths."""


@njit(nogil=True, error_model="numpy", fastmath=FLAGS)
def begin(turn: Turn, whole: LayerTable, number: int, embedded: Any, stream: Any) -> None:
    """Set the stream to the embedding before the first layer; then scale it and mix the embedding in. One chunk."""
    if claim(turn.queue, turn.phase) == 0:
        for b in range(stream.shape[0]):
            row, first = stream[b], embedded[b]
            if number == 0:
                copy(first, row)
            if whole.place[X0_STREAM]:
                kept = vector(whole.place[X0_STREAM], whole.sizes.layers)[number]
                added = vector(whole.place[X0_EMBEDDED], whole.sizes.layers)[number]
                for i in range(row.size):
                    row[i] = kept * row[i] + added * first[i]
        finish(turn.queue, turn.phase)
    wait(turn.queue, turn.phase, 1)


@njit(nogil=True, error_model="numpy")
def project(
    turn: Turn, layer: LayerTable, rows: Rows, stream: Any, normed: Any, rounded: Rounded, heads: Heads
) -> None:
    """Compute queries, keys and values of the new tokens; normalise and rotate them, and fill the cache.

    A chunk is a head, or as many heads as fill whole tiles.
    """
    sizes, size, together = layer.sizes, layer.sizes.head_dim, heads_together(layer)
    of_queries = (sizes.heads + together - 1) // together
    of_keys = (sizes.kv_heads + together - 1) // together
    chunks = of_queries + 2 * of_keys
    chunk = claim(turn.queue, turn.phase)
    if chunk < chunks:
        read_rows(layer, ATTENTION_NORM, stream, normed)
        round_rows(normed, rounded)
    while chunk < chunks:
        if chunk < of_queries:
            which, out, first = QUERY, heads.queries, together * chunk
        elif chunk < of_queries + of_keys:
            which, out, first = KEY, heads.keys, together * (chunk - of_queries)
        else:
            which, out, first = VALUE, heads.values, together * (chunk - of_queries - of_keys)
        last = min(out.shape[1] // size, first + together)
        product(layer, which, normed, rounded, out, size * first, size * last)
        for head in range(first, last):
            for b in range(out.shape[0]):
                place_head(layer, which, rows, b, head, normed[b], out[b, head * size : (head + 1) * size])
        finish(turn.queue, turn.phase)
        chunk = claim(turn.queue, turn.phase)
    wait(turn.queue, turn.phase, chunks)


@njit(nogil=True, error_model="numpy", fastmath=FLAGS)
def place_head(layer: LayerTable, which: int, rows: Rows, b: int, head: int, normed: Any, x: Any) -> None:
    """Turn one head of a query or key; put a key or value into the cache."""
    sizes, place, size = layer.sizes, layer.place, layer.sizes.head_dim
    position = rows.positions[b]
    block, at = rows.blocks[b, position // BLOCK], position % BLOCK
    if which == QUERY:
        turn_head(layer, QUERY_NORM, position, x)
    elif which == KEY:
        turn_head(layer, KEY_NORM, position, x)
        cached = of_block(sizes, place[CACHED_KEYS], head, block, size, BLOCK)
        for e in range(size):
            cached[e, at] = x[e]
    else:
        if place[VALUE_TABLE]:
            add_embedded_value(layer, head, rows.ids[b], normed, x)
        copy(x, of_block(sizes, place[CACHED_VALUES], head, block, BLOCK, size)[at])


@njit(nogil=True, error_model="numpy")
def mix(turn: Turn, layer: LayerTable, rows: Rows, queries: Any, mixed: Any, scores: Any) -> None:
    """Attend: a chunk is some query heads of rows, fewer for few rows and many, since each claim takes time."""
    sizes, place, size = layer.sizes, layer.place, layer.sizes.head_dim
    cached = place[CACHED_KEYS], place[CACHED_VALUES]
    heads = sizes.heads * len(rows.ids)
    chunks = min(heads, ATTENTION_CHUNKS * sizes.chunks)
    chunk = claim(turn.queue, turn.phase)
    while chunk < chunks:
        for each in range(heads * chunk // chunks, heads * (chunk + 1) // chunks):
            b, head = each // sizes.heads, each % sizes.heads
            shared, length = head * sizes.kv_heads // sizes.heads, rows.positions[b] + 1
            first = max(0, length - place[WINDOW]) if place[WINDOW] else 0
            query, out = queries[b, head * size : (head + 1) * size], mixed[b, head * size : (head + 1) * size]
            own = scores[: (length + BLOCK - 1) // BLOCK * BLOCK]
            attend(sizes, query, cached, shared, rows.blocks[b], (first, length), own, out)
        finish(turn.queue, turn.phase)
        chunk = claim(turn.queue, turn.phase)
    wait(turn.queue, turn.phase, chunks)


@njit(nogil=True, error_model="numpy")
def join(turn: Turn, layer: LayerTable, which: int, x: Any, rounded: Rounded, branch: Any, stream: Any) -> None:
    """Project what a branch computed back, and add it to the stream unless it is normalised first."""
    chunks = layer.sizes.chunks
    chunk = claim(turn.queue, turn.phase)
    if chunk < chunks:
        round_rows(x, rounded)
    while chunk < chunks:
        first, last = bounds(layer, chunk, chunks, layer.sizes.width)
        product(layer, which, x, rounded, branch, first, last)
        if not layer.sizes.norm_after:
            add_rows(stream, branch, first, last)
        finish(turn.queue, turn.phase)
        chunk = claim(turn.queue, turn.phase)
    wait(turn.queue, turn.phase, chunks)


@njit(nogil=True, error_model="numpy")
def add_normed(turn: Turn, layer: LayerTable, which: int, branch: Any, normed: Any, stream: Any) -> None:
    """Add a branch to the stream after its norm: one chunk."""
    if claim(turn.queue, turn.phase) == 0:
        norm_rows(layer, which, branch, normed)
        add_rows(stream, normed, 0, layer.sizes.width)
        finish(turn.queue, turn.phase)
    wait(turn.queue, turn.phase, 1)


@njit(nogil=True, error_model="numpy")
def widen(turn: Turn, layer: LayerTable, stream: Any, normed: Any, rounded: Rounded, gates: Any, inner: Any) -> None:
    """Compute the inside of the feed-forward."""
    sizes, chunks = layer.sizes, layer.sizes.chunks
    chunk = claim(turn.queue, turn.phase)
    if chunk < chunks:
        read_rows(layer, FEED_FORWARD_NORM, stream, normed)
        round_rows(normed, rounded)
    while chunk < chunks:
        first, last = bounds(layer, chunk, chunks, sizes.hidden)
        product(layer, UP, normed, rounded, inner, first, last)
        if sizes.gated:
            product(layer, GATE, normed, rounded, gates, first, last)
        for b in range(inner.shape[0]):
            up, gate = inner[b, first:last], gates[b, first:last]
            if sizes.gated:
                activate(sizes.activation, gate)
                for i in range(up.size):
                    up[i] *= gate[i]
            else:
                activate(sizes.activation, up)
        finish(turn.queue, turn.phase)
        chunk = claim(turn.queue, turn.phase)
    wait(turn.queue, turn.phase, chunks)


@njit(nogil=True, error_model="numpy", fastmath=FLAGS)
def score(turn: Turn, whole: LayerTable, wanted: Any, stream: Any, normed: Any, rounded: Rounded, logits: Any) -> None:
    """Compute the logits of the wanted rows."""
    sizes, chunks = whole.sizes, 8 * whole.sizes.chunks
    chunk = claim(turn.queue, turn.phase)
    if chunk < chunks:
        for b in range(wanted.size):
            copy(stream[wanted[b]], normed[b])
        norm_rows(whole, FINAL_NORM, normed[: wanted.size], normed[: wanted.size])
        round_rows(normed, rounded)
    while chunk < chunks:
        first, last = bounds(whole, chunk, chunks, sizes.vocabulary)
        product(whole, HEAD, normed[: wanted.size], rounded, logits, first, last)
        if sizes.logit_softcap > 0:
            cap = f32(sizes.logit_softcap)
            for b in range(wanted.size):
                part = logits[b, first:last]
                for i in range(part.size):
                    part[i] = cap * (f32(2) / (f32(1) + exponential(f32(-2) * part[i] / cap)) - f32(1))
        finish(turn.queue, turn.phase)
        chunk = claim(turn.queue, turn.phase)
    wait(turn.queue, turn.phase, chunks)


@njit(nogil=True, error_model="numpy", inline="always")
def take_part(call: Call, epoch: int, model: Model) -> None:
    """Take part in a step, with all threads that do so. It has one caller, and is compiled as a part of it."""
    queue, door, job = call.queues[epoch % 2], call.doors[epoch % 2], call.jobs[epoch % 2]
    if not enter(door, epoch):
        return
    sizes, rows, work = model.sizes, new_rows(job), arrays(job, model.sizes)
    stream, branch, heads = work.stream, work.branch, work.heads
    normed, inside = np.empty_like(stream), work.mixed.shape[1]
    of_stream = new_rounded(model.kind, len(rows.ids), sizes.width)
    of_mixed = new_rounded(model.kind, len(rows.ids), inside)
    of_inner = new_rounded(model.kind, len(rows.ids), sizes.hidden)
    scores = np.empty(rows.blocks.shape[1] * BLOCK, f32)
    whole = LayerTable(sizes, model.whole, model.head_kind)
    phase = 0
    for number in range(sizes.layers):
        layer = LayerTable(sizes, model.layers[number], model.kind)
        if number == 0 or model.whole[X0_STREAM]:
            begin(Turn(queue, phase), whole, number, work.embedded, stream)
        project(Turn(queue, phase + 1), layer, rows, stream, normed, of_stream, heads)
        mix(Turn(queue, phase + 2), layer, rows, heads.queries, work.mixed, scores)
        join(Turn(queue, phase + 3), layer, OUTPUT, work.mixed, of_mixed, branch, stream)
        if sizes.norm_after:
            add_normed(Turn(queue, phase + 4), layer, ATTENTION_OUT_NORM, branch, normed, stream)
        widen(Turn(queue, phase + 5), layer, stream, normed, of_stream, work.gate, work.inner)
        join(Turn(queue, phase + 6), layer, DOWN, work.inner, of_inner, branch, stream)
        if sizes.norm_after:
            add_normed(Turn(queue, phase + 7), layer, FEED_FORWARD_OUT_NORM, branch, normed, stream)
        phase += PHASES
    if rows.wanted.size:
        of_wanted = new_rounded(model.head_kind, len(rows.wanted), sizes.width, 2)
        score(Turn(queue, phase), whole, rows.wanted, stream, normed, of_wanted, work.logits)
    leave(door)


@njit(nogil=True, error_model="numpy")
def new_rows(job: Any) -> Rows:
    """Return the new tokens of the step that a job describes."""
    count, most = job[ROWS], job[MOST_BLOCKS]
    return Rows(
        carray(pointer(job[IDS]), (count,), np.int64),
        carray(pointer(job[POSITIONS]), (count,), np.int64),
        carray(pointer(job[TABLES]), (count, most), np.int64),
        carray(pointer(job[WANTED]), (job[WANTED_ROWS],), np.int64),
    )


@njit(nogil=True, error_model="numpy")
def floats(address: int, rows: int, size: int) -> Any:
    """Return the fp32 array at an address."""
    return carray(pointer(address), (rows, size), np.float32)


@njit(nogil=True, error_model="numpy")
def arrays(job: Any, sizes: Any) -> StepArrays:
    """Return the arrays of the step that a job describes."""
    count, inside, shared = job[ROWS], sizes.heads * sizes.head_dim, sizes.kv_heads * sizes.head_dim
    heads = Heads(
        floats(job[ARRAYS + 2], count, inside),
        floats(job[ARRAYS + 3], count, shared),
        floats(job[ARRAYS + 4], count, shared),
    )
    return StepArrays(
        floats(job[ARRAYS], count, sizes.width),
        floats(job[ARRAYS + 1], count, sizes.width),
        heads,
        floats(job[ARRAYS + 5], count, inside),
        floats(job[ARRAYS + 6], count, sizes.width),
        floats(job[ARRAYS + 7], count, sizes.hidden),
        floats(job[ARRAYS + 8], count, sizes.hidden),
        floats(job[ARRAYS + 9], job[WANTED_ROWS], sizes.vocabulary),
    )


def _stamp() -> int:
    """Return a hash of all code that is compiled into a step. numba's own stamp would see changes of one file alone."""
    text = "".join(path.read_text(encoding="utf-8") for path in sorted(Path(__file__).parent.glob("*.py")))
    return int(
        hashlib.sha256(f"{text} {BLOCK} {TILE} {GROUP} {LARGEST} {SMALLEST} {chosen()}".encode()).hexdigest()[:12], 16
    )


def _build(stamp: int) -> Any:
    """Compile the step when it is first called; the stamp is a part of the name under which it is kept."""

    @njit(nogil=True, error_model="numpy", cache=True)
    def decode(
        call: Call, signal: npt.NDArray[np.int64], mine: npt.NDArray[np.int64], helps: bool, model: Model
    ) -> None:
        """Take part in the newest step; a helper, in all that are called for, until none is for a while.

        One function for both, because each function that is called from Python is compiled with all that it calls.
        """
        if stamp == 0:
            return
        if helps:
            fetch_add(mine[AWAKE:], 1)
        goes_on = True
        while goes_on:
            if not helps:
                goes_on, epoch = False, fetch(signal)
            elif called(signal, mine):
                epoch = mine[HEARD]
            else:
                return
            take_part(call, epoch, model)

    return decode


decode = _build(_stamp())
