"""Ranks: processes that train one model together, and where the weights lie on them.

Here is the one that trains alone, for which all of it costs nothing. `distributed/` has those that torchrun starts,
which the loop and `fit` treat alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TypeVar

import torch
from torch import Tensor

from scratchlm.data.batches import Batch
from scratchlm.model.network import SequenceModel
from scratchlm.training.config import ShardingName

T = TypeVar("T")


class Placement:
    """The placement of weights and gradients on processes: here, all of them in this one.

    The loop asks it for a step's micro-batches, the norm of the gradient and what is saved. A step calls `begin`,
    `micro_batches`, `complete` and `end` in this order.
    """

    repeats = True
    """Whether a pass that ran out of memory may be computed again."""
    writes_together = False
    """Whether all ranks must compute what one of them writes."""

    def __init__(self, network: SequenceModel, ranks: Ranks) -> None:
        self.decoder = network
        """The network that is trained."""
        self.whole = network
        """The network to look at and to save: `decoder` itself, or what `collect` fills on the first rank."""
        self.ranks = ranks

    def begin(self) -> None:
        """Begin a step, also after one that failed."""

    def micro_batches(self, batch: Batch, size: int | None) -> list[Batch]:
        """Return this process's rows of a batch, `size` rows in each."""
        return list(self.ranks.part(batch).split(size))

    def complete(self) -> None:
        """Take note that the next backward pass makes this process's gradients whole."""

    def interrupt(self) -> None:
        """Take note that the gradients are computed anew."""

    def end(self) -> None:
        """Give each parameter the gradient of the whole step."""

    def clip(self, limit: float) -> float:
        """Scale a gradient longer than `limit` down; return its norm before."""
        parameters = list(self.decoder.parameters())
        norm = torch.nn.utils.get_total_norm(p.grad for p in parameters if p.grad is not None)
        torch.nn.utils.clip_grads_with_norm_(parameters, limit, norm)
        return norm.item()

    def collect(self) -> None:
        """Bring `whole` up to date on the first rank; all ranks call this together."""

    def spread(self) -> None:
        """Give all ranks the weights of `whole` on the first one."""

    def drop_gathered(self) -> None:
        """Drop what a forward pass gathered and no backward pass has dropped."""

    def gathered(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return all of tensors that lie as the weights do; all ranks call this together, the first alone gets it."""
        return dict(tensors) if self.ranks.is_first else {}

    def require_equal(self) -> None:
        """Raise `UserError` where ranks that hold the same weights hold different ones."""


class Ranks:
    """One process alone: rank 0 of 1. `distributed.ranks.JoinedRanks` is one of several."""

    rank = 0
    size = 1

    @property
    def is_first(self) -> bool:
        """Whether this is the rank that writes, evaluates and shows."""
        return self.rank == 0

    def placement(self, network: SequenceModel, device: torch.device, sharding: ShardingName = "none") -> Placement:
        """Return where the weights of a run on a device lie."""
        return Placement(network, self)

    def step(self) -> AbstractContextManager[None]:
        """Return what surrounds each step: a report to whoever watches this process."""
        return nullcontext()

    def part(self, batch: Batch) -> Batch:
        """Return this rank's rows; where there are fewer rows than ranks, perhaps one without targets."""
        return batch

    def place(self, values: Tensor, rows: int) -> Tensor:
        """Return the values of all `rows` rows of a batch, of which `values` are this rank's."""
        return values

    def add(self, tensor: Tensor) -> Tensor:
        """Replace a tensor by its sum over all ranks; return it."""
        return tensor

    def shared(self, items: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
        """Return `function(items)`, of which each rank computes some of the first dimension and gets the others'.

        The function must handle each item by itself and keep its shape; items must be the same on all ranks.
        """
        return function(items)

    def seconds_of_sum(self, numbers: int, device: torch.device) -> float:
        """Return the time of a sum of some numbers over all ranks: the median of three after one."""
        return 0.0

    def most(self, value: float) -> float:
        """Return the largest of all ranks' values."""
        return value

    def any(self, flag: bool) -> bool:
        """Return whether the flag is set on any rank."""
        return flag

    def from_all(self, value: T) -> list[T]:
        """Return the values of all ranks in their order; plain values, which are sent as bytes."""
        return [value]

    def from_first(self, function: Callable[[], T]) -> T:
        """Call a function on the first rank alone; return there and elsewhere what it returns.

        What it raises is raised on the first rank; the others then end quietly.
        """
        return function()

    def copy_from_first(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors by those of the first rank."""

    def require_same(self, values: Mapping[str, str], remedy: str) -> None:
        """Raise `UserError` where values, such as hashes of what is read, are not the first rank's."""

    def require_equal(self, tensors: Sequence[Tensor], what: str) -> None:
        """Raise `UserError` where tensors differ between ranks, as between processors that round otherwise."""


ALONE = Ranks()
"""One process."""
