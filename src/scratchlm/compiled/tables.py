"""What the compiled step reads and writes: tables of addresses and sizes, the new tokens, and arrays to work in.

Compiled code takes named tuples of arrays and numbers, and records of numpy. An address is a number, 0 for what a model
does not have.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt


def _numbers(first: int, last: int, step: int = 1) -> tuple[Any, ...]:
    """Return integers of numpy. numba takes an integer of Python for a constant, and compiles a function for each."""
    return tuple(np.int64(number) for number in range(first, last, step))


QUERY, KEY, VALUE, OUTPUT, GATE, UP, DOWN, HEAD = _numbers(0, 8)
"""Matrices. Each has `OF_MATRIX` numbers in a table, from `OF_MATRIX * matrix` on."""
CODES, SCALES, MINIMA, BIAS, LORA_A, LORA_B, LORA_RANK, LORA_SCALE = _numbers(0, 8)
"""Of a matrix: addresses, 0 for none, and the rank of its adapter."""
OF_MATRIX = 8
ATTENTION_NORM, ATTENTION_OUT_NORM, FEED_FORWARD_NORM, FEED_FORWARD_OUT_NORM, QUERY_NORM, KEY_NORM = _numbers(64, 76, 2)
"""Norms: weight and bias, 0 for none."""
CACHED_KEYS, CACHED_VALUES, COS, SIN, WINDOW, VALUE_GATE, VALUE_TABLE = _numbers(76, 83)
VALUE_SCALES, X0_STREAM, X0_EMBEDDED = _numbers(83, 86)
PLACES = 86
"""Numbers of a layer in the table."""
FINAL_NORM = ATTENTION_NORM
"""Place of the final norm in the table of what belongs to no layer."""
ROWS, MOST_BLOCKS, WANTED_ROWS, IDS, POSITIONS, TABLES, WANTED, ARRAYS = _numbers(0, 8)
"""Numbers of a job, which describes a step to threads: sizes, then addresses; the last is the first of `Work`."""
LETTER = 24
"""Numbers of a job."""
PHASES = 8
"""Phases of a layer."""


class StepSizes(NamedTuple):
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
    """0: none, 1: of each head, 2: of each head after the rotation."""
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
    block_size: int
    """Numbers of a block of the cache, those of all layers: as far apart are those of one layer."""

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
    wanted: npt.NDArray[np.int64]
    """Rows whose logits are computed, rising."""


class Heads(NamedTuple):
    """Queries, keys and values of the new tokens, each `(rows, heads * head_dim)`."""

    queries: npt.NDArray[np.float32]
    keys: npt.NDArray[np.float32]
    values: npt.NDArray[np.float32]


class StepArrays(NamedTuple):
    """Arrays that the threads share, with a row for each new token, or, of logits, for each that is wanted.

    A job lists them in this order.
    """

    embedded: npt.NDArray[np.float32]
    stream: npt.NDArray[np.float32]
    heads: Heads
    mixed: npt.NDArray[np.float32]
    branch: npt.NDArray[np.float32]
    gate: npt.NDArray[np.float32]
    inner: npt.NDArray[np.float32]
    logits: npt.NDArray[np.float32]


class LayerTable(NamedTuple):
    """What the code of a layer reads, or of what belongs to none."""

    sizes: Any
    """The record of the model's `Sizes`."""
    place: npt.NDArray[np.int64]
    """Its row of the table."""
    kind: Any
    """An empty array in the form of its matrices."""


class Turn(NamedTuple):
    """The phase that is being shared."""

    queue: npt.NDArray[np.int64]
    phase: int


class Call(NamedTuple):
    """What threads share a step by, two of each: used by turns (`sharing.py`)."""

    queues: npt.NDArray[np.int64]
    doors: npt.NDArray[np.int64]
    jobs: npt.NDArray[np.int64]


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
