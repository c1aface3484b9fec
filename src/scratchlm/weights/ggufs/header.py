"""Validation of the header of a GGUF file, before llama.cpp's library allocates what it announces.

That library trusts the counts in a file: one number of eight bytes could make it loop 2**60 times. Here every count and
length is checked against the remaining bytes.
"""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import BinaryIO

import gguf

from scratchlm.base.errors import UserError

MAGIC = b"GGUF"
VERSIONS = (2, 3)
STRING, ARRAY = int(gguf.GGUFValueType.STRING), int(gguf.GGUFValueType.ARRAY)
SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
"""Bytes of each type of number, by the format's type ids."""
DEEPEST = 4
"""Arrays in arrays; no published file has any."""
DIMENSIONS = 4
BLOCK = 1 << 20
"""Most bytes of a name."""


class _Walk:
    """A reader of a file that never passes its end."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self.file, self.size = file, size

    def number(self, form: str = "<Q") -> int:
        data = self.file.read(struct.calcsize(form))
        if len(data) < struct.calcsize(form):
            raise ValueError("its header is cut short")
        return int(struct.unpack(form, data)[0])

    def skip(self, count: int, what: str) -> None:
        if count > self.size - self.file.tell():
            raise ValueError(f"{what} of {count:,} bytes, more than the file has")
        self.file.seek(count, 1)

    def counted(self, least: int, what: str) -> int:
        """Read a count of elements of at least `least` bytes each."""
        count = self.number()
        if count * least > self.size - self.file.tell():
            raise ValueError(f"{count:,} {what}, more than the file can hold")
        return count

    def value(self, kind: int, depth: int = 0) -> None:
        if kind == STRING:
            self.skip(self.number(), "a text")
        elif kind in SIZES:
            self.skip(SIZES[kind], "a number")
        elif kind == ARRAY and depth < DEEPEST:
            inner = self.number("<I")
            count = self.counted(SIZES.get(inner, 8), "values")
            if inner in SIZES:
                self.skip(count * SIZES[inner], "numbers")
            else:
                for _ in range(count):
                    self.value(inner, depth + 1)
        else:
            raise ValueError(f"a value of kind {kind}" if kind != ARRAY else "arrays nested too deeply")


def check_header(path: Path, size: int) -> None:
    """Raise `UserError` where a file of `size` bytes is no GGUF, or announces more than it can contain."""
    try:
        with path.open("rb") as file:
            if file.read(4) != MAGIC:
                raise ValueError("it does not begin with GGUF")
            _check(_Walk(file, size))
    except ValueError as error:
        raise UserError(f"{path}: cannot be read as GGUF ({error}); restore the file, it may be cut short") from error


def _check(walk: _Walk) -> None:
    version = walk.number("<I")
    if version not in VERSIONS:
        raise ValueError(f"version {version}; known are {', '.join(map(str, VERSIONS))}, little-endian")
    tensors, fields = walk.counted(24, "tensors"), walk.counted(12, "fields")
    for _ in range(fields):
        _name(walk)
        walk.value(walk.number("<I"))
    for _ in range(tensors):
        _name(walk)
        dimensions = walk.number("<I")
        if dimensions > DIMENSIONS:
            raise ValueError(f"a tensor of {dimensions} dimensions")
        shape = [walk.number() for _ in range(dimensions)]
        kind, place = walk.number("<I"), walk.number()
        if math.prod(shape) > 8 * walk.size or place > walk.size:  # fewer than a bit for each number
            raise ValueError(f"a tensor of {' by '.join(map(str, shape))} numbers, more than the file can hold")
        gguf.GGMLQuantizationType(kind)


def _name(walk: _Walk) -> None:
    length = walk.number()
    if length > BLOCK:
        raise ValueError(f"a name of {length:,} bytes")
    walk.skip(length, "a name")
