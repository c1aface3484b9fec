"""A GGUF file, read with llama.cpp's own library: tensors of the supported precisions, and metadata.

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. The library trusts the counts in a file: one
number of eight bytes could make it loop 2**60 times. So every count and length of the header is checked against the
remaining bytes before the library allocates what it announces.
"""

from __future__ import annotations

import math
import struct
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import gguf
import numpy as np
import torch
from torch import Tensor

from scratchlm.base.errors import UserError, raise_all
from scratchlm.base.files import explain_os_error
from scratchlm.base.reading import intact, require_plain
from scratchlm.weights.tensors import StoredTensors, require_finite

READ = ("F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K")
"""Supported precisions, which are dequantized."""

ROWS = 1024
"""Rows of a tensor that are dequantized at a time."""

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


class GGUFFile(StoredTensors):
    """The tensors of a file under their GGUF names, dequantized one at a time, and its `metadata`.

    F16 and BF16 are kept; all others become fp32. Raises `UserError` for a file that is no GGUF or truncated, and for
    tensors in a precision outside `READ`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            _check_header(path, require_plain(path))
            with intact(path, "GGUF file"):
                reader = gguf.GGUFReader(path)
                places = {tensor.name: tensor for tensor in reader.tensors}  # whose shapes have the outputs last
                shapes = {name: torch.Size(reversed(each.shape.tolist())) for name, each in places.items()}
        except OSError as error:
            raise explain_os_error(error, path) from error
        self._fields = reader.fields
        super().__init__(places, shapes)
        raise_all(
            [
                f"{path}: {name} is stored as {tensor.tensor_type.name}; only {', '.join(READ)} can be read"
                for name, tensor in places.items()
                if tensor.tensor_type.name not in READ
            ][:3]
        )

    @cached_property
    def metadata(self) -> dict[str, Any]:
        """All metadata of the file."""
        with intact(self.path, "GGUF file"):
            return {name: _shortest(field) for name, field in self._fields.items()}

    @property
    def architecture(self) -> str:
        """llama.cpp's name of the family."""
        return str(self.metadata.get("general.architecture", "none"))

    def __getitem__(self, name: str) -> Tensor:
        if name not in self:
            raise KeyError(name)
        with intact(self.path, "GGUF file"):
            return require_finite(self._unpacked(name), name, self.path)

    def _unpacked(self, name: str) -> Tensor:
        stored = self._places[name]
        if stored.tensor_type.name in ("F32", "F16", "BF16"):
            copied = torch.from_numpy(np.array(stored.data))  # a memory map would end with the file object
            return copied.view(torch.bfloat16) if stored.tensor_type.name == "BF16" else copied
        unpacked = torch.empty(self.shapes[name])
        rows = unpacked.view(-1, unpacked.shape[-1])
        packed = np.asarray(stored.data).reshape(len(rows), -1)
        for start in range(0, len(rows), ROWS):  # the library makes several copies of its input
            part = gguf.quants.dequantize(packed[start : start + ROWS], stored.tensor_type)
            rows[start : start + ROWS] = torch.from_numpy(part)
        return unpacked


def _shortest(field: gguf.ReaderField) -> Any:
    """Return a field's value; a 32-bit float as the shortest decimal with the same value."""
    value = field.contents()
    single = field.types and field.types[0] == gguf.GGUFValueType.FLOAT32
    return float(str(np.float32(value))) if single else value


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


def _check_header(path: Path, size: int) -> None:
    """Raise `UserError` where a file of `size` bytes is no GGUF, or announces more than it can contain."""
    try:
        with path.open("rb") as file:
            if file.read(4) != MAGIC:
                raise ValueError("it does not begin with GGUF")
            _check_fields(_Walk(file, size))
    except ValueError as error:
        raise UserError(f"{path}: cannot be read as GGUF ({error}); restore the file, it may be cut short") from error


def _check_fields(walk: _Walk) -> None:
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
