"""A GGUF file, read with llama.cpp's own library: tensors of the supported precisions, and metadata.

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from torch import Tensor

from scratchlm.base.errors import raise_all
from scratchlm.base.files import explain_os_error
from scratchlm.base.reading import require_plain, whole
from scratchlm.weights.ggufs.header import check_header
from scratchlm.weights.tensors import LazyTensors, require_finite

READ = ("F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K")
"""Supported precisions, which are dequantized."""

ROWS = 1024
"""Rows of a tensor that are dequantized at a time."""


class GGUFFile(LazyTensors):
    """The tensors of a file under their GGUF names, dequantized one at a time, and its `metadata`.

    F16 and BF16 are kept; all others become fp32. Raises `UserError` for a file that is no GGUF or truncated, and for
    tensors in a precision outside `READ`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            check_header(path, require_plain(path))
            with whole(path, "GGUF file"):
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
        with whole(self.path, "GGUF file"):
            return {name: _shortest(field) for name, field in self._fields.items()}

    @property
    def architecture(self) -> str:
        """llama.cpp's name of the family."""
        return str(self.metadata.get("general.architecture", "none"))

    def __getitem__(self, name: str) -> Tensor:
        if name not in self:
            raise KeyError(name)
        with whole(self.path, "GGUF file"):
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
