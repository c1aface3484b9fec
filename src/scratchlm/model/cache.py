"""The cache: what earlier positions computed, kept so that a new token costs one position, not all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Int
from torch import Tensor, nn

from scratchlm.model.masks import causal_mask

FIRST_ROOM = 512
"""Positions that new tensors of a cache have memory for."""


@runtime_checkable
class Kept(Protocol):
    """What one part of a network keeps of earlier positions; a part that keeps something else brings its own."""

    def keep(self, rows: Int[Tensor, " R"]) -> None:
        """Drop all rows but these."""


K = TypeVar("K", bound=Kept)


@runtime_checkable
class Cache(Protocol):
    """What a decoder asks of a cache while it reads the next tokens."""

    @property
    def length(self) -> int:
        """Positions before the next tokens, of the longest row."""

    def of(self, part: nn.Module, kind: Callable[[Any], Any]) -> Any:
        """Return what a part keeps."""

    def places(self, new: int, device: torch.device) -> Int[Tensor, "*B T"]:
        """Return the positions of the next `new` tokens; of each row where they differ."""

    def mask(self, places: Int[Tensor, "*B T"], window: int | None) -> Bool[Tensor, "B 1 T S"] | None:
        """Return what the next tokens may see where rows differ; None: what is before, in the window."""

    def before(self, ids: Int[Tensor, "B T"], part: nn.Module, reach: int) -> tuple[Tensor, Tensor | None]:
        """Return the next tokens after up to `reach` before them, and 1 for each that is a row's own, 0 for filling."""

    def advance(self, positions: int) -> None:
        """Move on once every layer has stored its part of `positions` new ones."""


class KVCache:
    """What the parts of a network keep of up to `capacity` positions; each has a state of its own kind.

    `length` is the only place where the position lives: the decoder reads it to number new tokens and calls
    `advance` once all layers have stored theirs.

    Rows of different lengths are padded on the left: `starts` then holds the place of each row's first own token, and
    nothing before it is seen or counted.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.length = 0
        self.starts: Int[Tensor, " B"] | None = None
        self._kept: dict[nn.Module, Kept] = {}

    def of(self, part: nn.Module, kind: Callable[[KVCache], K]) -> K:
        """Return what a part keeps, made as `kind(cache)` when it is first asked for."""
        if part not in self._kept:
            self._kept[part] = kind(self)
        return self._kept[part]  # type: ignore[return-value]  # a part asks for one kind alone

    def places(self, new: int, device: torch.device) -> Int[Tensor, "*B T"]:
        """Return the positions of the next `new` tokens; of each row where rows are padded on the left."""
        places = torch.arange(self.length, self.length + new, device=device)
        return places if self.starts is None else (places - self.starts[:, None]).clamp(min=0)

    def own(self, end: int, device: torch.device) -> Bool[Tensor, "B S"] | None:
        """Return which of the first `end` positions are a row's own tokens; None: all of them."""
        return None if self.starts is None else torch.arange(end, device=device) >= self.starts[:, None]

    def mask(self, places: Int[Tensor, "*B T"], window: int | None) -> Bool[Tensor, "B 1 T S"] | None:
        """Return what the next tokens, at `places`, may see where rows differ; None: what is before, in the window."""
        new, device = places.size(-1), places.device
        seen = self.length + new
        own = self.own(seen, device)
        if own is None:
            return None
        at = torch.arange(seen, device=device)
        itself = at == at[-new:, None]  # so that what fills a row up sees something, and stays finite
        return causal_mask(new, seen, window, None, device) & own[:, None, None] | itself

    def before(self, ids: Int[Tensor, "B T"], part: nn.Module, reach: int) -> tuple[Tensor, Tensor | None]:
        """Return the next tokens after up to `reach` before them, and 1 for each that is a row's own, 0 for filling."""
        (seen,) = self.of(part, Appended).append(ids[..., None])
        own = self.own(seen.size(1), ids.device)
        last = slice(-(ids.size(1) + reach), None)
        return seen[:, last, 0], None if own is None else own.long()[:, last]

    def advance(self, positions: int) -> None:
        """Move on by `positions` once every layer has stored them."""
        self.length += positions

    def keep(self, rows: Int[Tensor, " R"]) -> None:
        """Drop all rows but these."""
        for kept in self._kept.values():
            kept.keep(rows)
        self.starts = None if self.starts is None else self.starts[rows]


class Appended:
    """Tensors (B, ..., T, N) with a row for each position, to which new positions are appended.

    Memory is taken as texts grow, doubled each time: a published model's context would fill many a machine. Keys and
    values come to 2 * L * B * K * T * E numbers.
    """

    def __init__(self, cache: KVCache) -> None:
        self._cache = cache
        self._tensors: list[Tensor] = []

    def append(self, *new: Tensor) -> list[Tensor]:
        """Store tensors of the next positions after the cache's length; return views of all so far."""
        start, capacity = self._cache.length, self._cache.capacity
        end = start + new[0].size(-2)
        assert end <= capacity, f"cache of {capacity} positions asked to hold {end}"
        tensors = self._tensors or [each.new_empty(*each.shape[:-2], 0, each.size(-1)) for each in new]
        room = tensors[0].size(-2)
        if end > room:
            more = min(capacity, max(end, 2 * room, FIRST_ROOM)) - room
            tensors = [F.pad(each, (0, 0, 0, more)) for each in tensors]
        self._tensors = tensors
        for stored, each in zip(tensors, new, strict=True):
            stored.narrow(-2, start, end - start).copy_(each)
        return [stored.narrow(-2, 0, end) for stored in tensors]

    def keep(self, rows: Int[Tensor, " R"]) -> None:
        """Drop all rows but these."""
        self._tensors = [each[rows] for each in self._tensors]
