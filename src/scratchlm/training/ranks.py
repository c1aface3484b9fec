"""Ranks: processes that train one model together, each on its rows of every batch.

Each rank holds the whole model and reads the whole batch, computes the gradient of its own rows, and gets the sum of
all ranks. The loss is divided by the targets of the whole batch, so gradient and loss do not depend on how many ranks
there are. All ranks then take the same step. `torchrun` starts them; torch.distributed carries the sums.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from scratchlm.base.errors import UserError
from scratchlm.data.batches import IGNORED, Batch
from scratchlm.training.watchdog import watched

T = TypeVar("T")
BUCKET = 1 << 20
"""Numbers of the gradient that are sent at once, at least."""
PATIENCE = timedelta(minutes=30)
"""How long a rank waits for the others, which may evaluate or write a checkpoint meanwhile."""


@dataclass(frozen=True)
class Ranks:
    """This process and the others. One process alone is rank 0 of 1, for which everything below costs nothing."""

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this is the rank that writes, evaluates and shows."""
        return self.rank == 0

    def part(self, batch: Batch) -> Batch:
        """Return this rank's rows; where there are fewer rows than ranks, perhaps one without targets."""
        if self.size == 1:
            return batch
        mine = torch.arange(len(batch.ids)).tensor_split(self.size)[self.rank]
        if len(mine):
            return batch.select(mine)
        row = batch.select(torch.tensor([0]))
        return replace(row, targets=torch.full_like(row.targets, IGNORED))

    def place(self, values: Tensor, rows: int) -> Tensor:
        """Return the values of all `rows` rows of a batch, of which `values` are this rank's."""
        if self.size == 1:
            return values
        whole = torch.zeros(rows, dtype=values.dtype, device=values.device)
        mine = torch.arange(rows).tensor_split(self.size)[self.rank]
        whole[mine] = values[: len(mine)]
        return self.add(whole)

    def add(self, tensor: Tensor) -> Tensor:
        """Replace a tensor by its sum over all ranks; return it."""
        if self.size > 1:
            dist.all_reduce(tensor)
        return tensor

    def add_gradients(self, parameters: Sequence[Tensor]) -> None:
        """Replace each gradient by its sum over all ranks; some at a time, while others are on their way."""
        if self.size == 1:
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
        buckets: list[list[Tensor]] = [[]]
        for gradient in gradients:
            if sum(each.numel() for each in buckets[-1]) >= BUCKET:
                buckets.append([])
            buckets[-1].append(gradient)
        sent = [torch.cat([each.flatten() for each in bucket]) for bucket in buckets if bucket]
        works = [dist.all_reduce(flat, async_op=True) for flat in sent]
        for work, flat, bucket in zip(works, sent, buckets, strict=True):
            cast(Any, work).wait()
            parts = torch.split(flat, [each.numel() for each in bucket])
            torch._foreach_copy_(bucket, [part.view_as(each) for part, each in zip(parts, bucket, strict=True)])

    def any(self, flag: bool) -> bool:
        """Tell whether the flag is set on any rank."""
        return flag if self.size == 1 else bool(self.add(torch.tensor(int(flag))))

    def from_first(self, function: Callable[[], T]) -> T:
        """Call a function on the first rank alone; return there and elsewhere what it returns.

        What it raises is raised on the first rank; the others then end quietly.
        """
        if self.size == 1:
            return function()
        told: list[Any] = [None, None]
        try:
            if self.is_first:
                told = [function(), None]
        except BaseException as error:
            told = [None, type(error).__name__]
            raise
        finally:
            if self.is_first:
                dist.broadcast_object_list(told, src=0)
        if not self.is_first:
            dist.broadcast_object_list(told, src=0)
            if told[1] is not None:
                raise SystemExit(1)
        return cast(T, told[0])

    def copy_from_first(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors by those of the first rank."""
        if self.size > 1:
            for tensor in tensors:
                dist.broadcast(tensor.detach(), src=0)

    def require_equal(self, tensors: Sequence[Tensor], what: str) -> None:
        """Raise `UserError` where tensors differ between ranks, as between processors that round otherwise."""
        if self.size == 1:
            return
        sums = torch.stack([tensor.detach().double().sum().cpu() for tensor in tensors])
        least, most = sums.clone(), sums.clone()
        dist.all_reduce(least, op=dist.ReduceOp.MIN)
        dist.all_reduce(most, op=dist.ReduceOp.MAX)
        if not torch.equal(least, most):
            raise UserError(
                f"rank {self.rank}: {what} differ between ranks; run all of them on processors of one kind, with as "
                "many threads each"
            )


@contextmanager
def joined(device: torch.device) -> Iterator[Ranks]:
    """Join the ranks that torchrun started, and leave them at the end; alone, where it started none."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Ranks()
        return
    if device.type == "cuda":
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    shared, rank, size = next(rendezvous("env://"))
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    store = PrefixStore(f"attempt {attempt}", shared)  # ranks that are started again would read addresses of dead ones
    backend = "nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=PATIENCE)
    try:
        with watched(PrefixStore("watchdog", store), rank, size), _lost_ranks_explained(rank):
            yield Ranks(rank, size)
    finally:
        dist.destroy_process_group()


@contextmanager
def _lost_ranks_explained(rank: int) -> Iterator[None]:
    """Turn what torch.distributed raises where another rank has gone into one line."""
    try:
        yield
    except dist.DistError as error:
        raise _lost(rank, error) from error
    except RuntimeError as error:
        if not re.search(r"gloo|nccl|connection", str(error), flags=re.IGNORECASE):
            raise
        raise _lost(rank, error) from error


def _lost(rank: int, error: Exception) -> UserError:
    return UserError(f"rank {rank}: lost another rank ({str(error).splitlines()[0][:120]}); resume the run")
