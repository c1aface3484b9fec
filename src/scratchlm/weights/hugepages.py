"""Memory in which the tensors of a model lie one behind the other."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

LINE = 64
"""Bytes at whose multiples tensors begin, as torch's own do: fp32 products differ in their last bits with alignment."""
PART = 1 << 25
"""Bytes that are asked of the system at least."""


class HugePages:
    """Keeps copies of tensors in large arrays, for which numpy asks Linux for huge pages.

    A decode step reads all weights, and the processor looks up the address of each page. With pages of 4 KiB in the
    same arrays (`NUMPY_MADVISE_HUGEPAGE=0`) SmolLM2-135M in int8 takes 16% longer for a token. An array lives as long
    as one of its tensors.
    """

    def __init__(self) -> None:
        self._left = np.empty(0, np.uint8)

    def copy(self, tensor: Tensor, dtype: torch.dtype) -> Tensor:
        """Return a copy of a tensor in a number format."""
        size = tensor.numel() * dtype.itemsize
        room = -(-size // LINE) * LINE
        if room > len(self._left):
            part = np.empty(max(room, PART) + LINE, np.uint8)
            self._left = part[-part.ctypes.data % LINE :]
        own, self._left = self._left[:size], self._left[room:]
        return torch.from_numpy(own).view(dtype).view(tensor.shape).copy_(tensor)
