"""Context parallelism: ranks share each text, for texts too long for the memory of one.

A rank computes the stream at its own positions. At each attention it gets the keys and values of all positions, which
are small where query heads share them, and their gradients are summed on the way back (Llama 3, arXiv 2407.21783,
section 3.3.2). All keys are scored and later ones then hidden, so equal parts take equal times.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Int
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh

from scratchlm.model.cache import Cache
from scratchlm.model.decoder import Decoder
from scratchlm.model.masks import Mask, placed_mask
from scratchlm.model.positions import positions_within
from scratchlm.training.tensor_parallel import gathered


@dataclass(frozen=True)
class SharedText:
    """What a decoder asks a cache, of whole texts: it reads their `own` positions, and other ranks the others."""

    ids: Int[Tensor, "B T"]
    documents: Int[Tensor, "B T"] | None
    own: slice
    mesh: DeviceMesh
    """Of the ranks that share the texts, in the order of their positions."""

    @property
    def length(self) -> int:
        """Positions that other ranks read."""
        return self.ids.size(1) - (self.own.stop - self.own.start)

    def of(self, part: nn.Module, kind: Callable[[Any], Any]) -> SharedText:
        """Return what brings keys and values of all positions together."""
        return self

    def append(self, *own: Tensor) -> list[Tensor]:
        """Return tensors (B, K, T, E) of all positions, of which `own` are this rank's."""
        return [gathered(each.contiguous(), 2, self.mesh) for each in own]

    def places(self, new: int, device: torch.device) -> Int[Tensor, "*B T"]:
        """Return the positions of the own tokens, each counted in its document."""
        if self.documents is not None:
            return positions_within(self.documents)[:, self.own]
        return torch.arange(self.own.start, self.own.stop, device=device)

    def mask(self, places: Int[Tensor, "*B T"], window: int | None) -> Mask:
        """Return which positions the own ones may see."""
        at = torch.arange(self.own.start, self.own.stop, device=places.device)
        seen = placed_mask(at, self.ids.size(1), window)
        if self.documents is None:
            return seen
        return seen & (self.documents[:, None, self.own, None] == self.documents[:, None, None, :])

    def before(self, ids: Int[Tensor, "B T"], part: nn.Module, reach: int) -> tuple[Tensor, Tensor | None]:
        """Return the own tokens after up to `reach` before them, and their documents."""
        near = slice(max(0, self.own.start - reach), self.own.stop)
        return self.ids[:, near], None if self.documents is None else self.documents[:, near]

    def advance(self, positions: int) -> None:
        """Do nothing: a text is read once."""


@contextmanager
def texts_shared(decoder: Decoder, mesh: DeviceMesh) -> Iterator[None]:
    """Let a decoder's `hidden` compute this rank's positions of each text; it returns zeros for the others.

    The targets of the others must be ignored (`Ranks.part`). Texts must be divisible by the ranks of the mesh.
    """
    whole = decoder.hidden

    def hidden(
        ids: Int[Tensor, "B T"],
        cache: Cache | None = None,
        documents: Int[Tensor, "B T"] | None = None,
        *,
        both_ways: bool = False,
    ) -> Tensor:
        assert not both_ways, "ranks that share a text read it forwards"
        each = ids.size(1) // mesh.size()
        own = slice(mesh.get_local_rank() * each, (mesh.get_local_rank() + 1) * each)
        found = whole(ids[:, own], SharedText(ids, documents, own, mesh))
        return F.pad(found, (0, 0, own.start, ids.size(1) - own.stop))

    decoder.hidden = hidden  # type: ignore[method-assign]
    try:
        yield
    finally:
        decoder.hidden = whole  # type: ignore[method-assign]
