"""The cache of many texts in blocks: a text takes a block when it grows, and texts that begin alike share theirs.

A block holds what all layers keep of `BLOCK` positions, such as keys and values. It is known by the tokens it was
computed from: a later text with the same beginning takes a full block as it is, and copies the beginning of one that
differs further on. A block that no text uses stays known until its memory is needed; the one that was left first goes
first.

Source: W. Kwon et al. 2023, "Efficient Memory Management for Large Language Model Serving with PagedAttention", arXiv
2309.06180.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from scratchlm.model.blocks import BLOCK, Blocks
from scratchlm.model.masks import placed_mask


@dataclass(frozen=True)
class Content:
    """What a block was computed from."""

    before: bytes
    """The name of the blocks before it."""
    tokens: tuple[int, ...]
    """Its own tokens."""

    @property
    def name(self) -> bytes:
        """A hash of all tokens up to the block's end."""
        own = np.array(self.tokens, np.int64).tobytes()
        return hashlib.blake2b(self.before + own, digest_size=16).digest()


def contents(tokens: Sequence[int]) -> Iterator[Content]:
    """Yield the contents of the blocks of a text; the last one may be begun only."""
    before = b""
    for start in range(0, len(tokens), BLOCK):
        content = Content(before, tuple(tokens[start : start + BLOCK]))
        yield content
        before = content.name


class Pool:
    """Which blocks are in use, by how many texts, and what others were computed from."""

    def __init__(self, count: int) -> None:
        self._free = list(range(count - 1, -1, -1))
        self._users = [0] * count
        self._contents: dict[int, Content] = {}
        self._full: dict[bytes, int] = {}
        """Full blocks by name."""
        self._after: dict[bytes, list[int]] = {}
        """The known blocks after others, full or begun."""
        self._left: dict[int, None] = {}
        """Known blocks that no text uses, in the order in which they were left."""

    @property
    def available(self) -> int:
        """Blocks that no text uses."""
        return len(self._free) + len(self._left)

    def extend(self, first: int, last: int) -> None:
        """Have blocks `first` to `last` too."""
        self._free += range(last - 1, first - 1, -1)
        self._users += [0] * (last - first)

    def take(self) -> int | None:
        """Return a block for new positions, or None where all are in use."""
        if not self.available:
            return None
        block = self._free.pop() if self._free else next(iter(self._left))
        self._left.pop(block, None)
        self._forget(block)
        self._users[block] = 1
        return block

    def find(self, content: Content) -> int | None:
        """Return the known full block of that content, with one user more, or None."""
        block = self._full.get(content.name) if len(content.tokens) == BLOCK else None
        if block is not None:
            self.use(block)
        return block

    def use(self, block: int) -> None:
        """Note that one more text uses a block."""
        self._users[block] += 1
        self._left.pop(block, None)

    def alike(self, content: Content) -> tuple[int, int] | None:
        """Return the known block at the same place with the most first tokens in common, and how many, or None."""
        known = self._after.get(content.before, [])
        shared = [(_same(self._contents[block].tokens, content.tokens), block) for block in known]
        same, block = max(shared, default=(0, 0))
        return (block, same) if same else None

    def know(self, block: int, content: Content) -> None:
        """Note what a block was computed from, so that other texts may use it."""
        self._forget(block)
        self._contents[block] = content
        self._after.setdefault(content.before, []).append(block)
        if len(content.tokens) == BLOCK:
            self._full.setdefault(content.name, block)

    def drop(self, block: int) -> None:
        """Note that one text no longer uses a block."""
        self._users[block] -= 1
        if self._users[block] == 0:
            if block in self._contents:
                self._left[block] = None
            else:
                self._free.append(block)

    def spoil(self, block: int) -> bool:
        """Forget what a block was computed from; return whether one text alone uses it."""
        self._forget(block)
        return self._users[block] == 1

    def _forget(self, block: int) -> None:
        content = self._contents.pop(block, None)
        if content is None:
            return
        self._after[content.before].remove(block)
        if not self._after[content.before]:
            del self._after[content.before]
        if len(content.tokens) == BLOCK and self._full.get(content.name) == block:
            del self._full[content.name]


def _same(first: Sequence[int], second: Sequence[int]) -> int:
    """Return how many tokens two texts have in common at their beginnings."""
    pairs = enumerate(zip(first, second, strict=False))
    return next((at for at, (mine, theirs) in pairs if mine != theirs), min(len(first), len(second)))


class Paged:
    """The cache of some texts, as `Decoder.hidden` takes it: row b continues a text of `lengths[b]` positions.

    `tables` says where the blocks of each text lie, with room for the new positions. `texts` are the last tokens of
    each, the new ones included. `sizes` are the new tokens of each row; more in its row only fill it up. Default: 1.
    """

    def __init__(
        self, blocks: Blocks, tables: Sequence[Sequence[int]], lengths: Sequence[int], texts: Sequence[Sequence[int]],
        sizes: Sequence[int] | None = None,
    ) -> None:  # fmt: skip
        self.blocks, self.tables, self.lengths, self.texts = blocks, tables, list(lengths), texts
        self.sizes = [1] * len(texts) if sizes is None else list(sizes)
        self.length = max(lengths)
        self._layer = 0
        count, device = -(-(self.length + max(self.sizes)) // BLOCK), blocks.device
        self.where = torch.tensor([[*table, *[0] * count][:count] for table in tables], device=device)
        """Where the blocks of each row lie, `(B, n)`."""
        self.targets = self._targets(device)
        """Of each new token its row and column, and where its block and its place in that lie."""

    def _targets(self, device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        sizes, lengths = torch.tensor(self.sizes, device=device), torch.tensor(self.lengths, device=device)
        rows = torch.repeat_interleave(torch.arange(len(sizes), device=device), sizes)
        columns = torch.arange(len(rows), device=device) - torch.repeat_interleave(sizes.cumsum(0) - sizes, sizes)
        positions = lengths[rows] + columns
        return rows, columns, self.where[rows, positions // BLOCK], positions % BLOCK

    def of(self, part: nn.Module, kind: Callable[[Any], Any]) -> _Layer:
        """Return the place of what the next layer keeps: layers ask in their order."""
        layer = _Layer(self, self._layer)
        self._layer += 1
        return layer

    def places(self, new: int, device: torch.device) -> Int[Tensor, "*B T"]:
        """Return the positions of the next tokens: of each row where rows have different lengths."""
        places = torch.tensor(self.lengths, device=device)[:, None] + torch.arange(new, device=device)
        return places if len(set(self.lengths)) > 1 else places[0]

    def mask(self, places: Int[Tensor, "*B T"], window: int | None) -> Bool[Tensor, "B 1 T S"] | None:
        """Return what the next tokens may see where rows have different lengths; None: what is before them."""
        if places.dim() == 1:
            return None
        return placed_mask(places, self.length + places.size(-1), window)[:, None]

    def before(self, ids: Int[Tensor, "B T"], part: nn.Module, reach: int) -> tuple[Tensor, Tensor | None]:
        """Return the next tokens after up to `reach` before them, and 1 for each that is a row's own, 0 for filling."""
        table = ids.new_zeros(len(ids), reach + ids.size(1))
        filled = torch.zeros_like(table)
        for row, (text, size) in enumerate(zip(self.texts, self.sizes, strict=True)):
            before = list(text[:-size])[-reach:]
            table[row, reach - len(before) : reach] = ids.new_tensor(before)
            filled[row, reach - len(before) :] = 1
        table[:, reach:] = ids
        return table, filled

    def advance(self, positions: int) -> None:
        """Nothing to move on: a cache of this kind is for one step."""


class _Layer:
    """What one layer keeps."""

    def __init__(self, cache: Paged, layer: int) -> None:
        self._cache, self._cached, self._tensors = cache, cache.blocks.cached[layer], cache.blocks.tensors[layer]

    def append(self, *new: Float[Tensor, "B K T E"]) -> list[Tensor]:
        """Store tensors of the next positions; return copies of all so far, filled up behind."""
        rows, columns, block, at = self._cache.targets
        seen, where, gathered = self._cache.length + new[0].size(2), self._cache.where, []
        for cached, tensor, each in zip(self._cached, self._tensors, new, strict=True):
            if cached.positions_last:
                tensor[block, :, :, at] = each[rows, :, columns]  # (N, K, E)
                joined = tensor[where].permute(0, 2, 1, 4, 3)  # from (B, n, K, E, BLOCK)
            else:
                tensor[block, :, at] = each[rows, :, columns]
                joined = tensor[where].transpose(1, 2)  # from (B, n, K, BLOCK, E)
            gathered.append(joined.flatten(2, 3)[:, :, :seen])
        return gathered
