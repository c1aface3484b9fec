"""Joined ranks: processes that train one model together, each on its rows of every batch.

Each rank holds the whole model and reads the whole batch, computes the gradient of its own rows, and gets the sum of
all ranks. The loss is divided by the targets of the whole batch, so gradient and loss do not depend on how many ranks
there are. All ranks then take the same step. `torchrun` starts them; torch.distributed carries the sums.
"""

from __future__ import annotations

import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import TCPStore  # type: ignore[attr-defined]
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from scratchlm.base.errors import UserError, raise_all
from scratchlm.data.batches import IGNORED, Batch
from scratchlm.model.network import SequenceModel
from scratchlm.training.config import ShardingName
from scratchlm.training.distributed.copies import Copies
from scratchlm.training.distributed.gradient_sums import BUCKET, add_in_place
from scratchlm.training.distributed.watchdog import Heartbeat, watched
from scratchlm.training.ranks import ALONE, Placement, Ranks

T = TypeVar("T")
PATIENCE = timedelta(minutes=30)
"""How long a rank waits for the others, which may evaluate or write a checkpoint meanwhile."""
JOINING = timedelta(minutes=5)
"""How long a rank waits for the others to begin."""
NOTE_AFTER = 10.0
"""Seconds after which it says that it waits."""


class JoinedRanks(Ranks):
    """This process and the others, which torch.distributed connects; each method is that of `Ranks`."""

    def __init__(self, rank: int, size: int) -> None:
        self.rank, self.size = rank, size
        self.heartbeat = Heartbeat()
        """What this process reports to the watchdog."""

    def placement(self, network: SequenceModel, device: torch.device, sharding: ShardingName = "none") -> Placement:
        """Return a copy of the network on every rank, or its parts."""
        if sharding == "none":
            return Copies(network, self)
        from scratchlm.training.distributed.sharding import Shards  # a second of imports, which only such runs need

        return Shards(network, device, self, sharding)

    def step(self) -> AbstractContextManager[None]:
        """Report to the watchdog that a step has begun, and that it has ended."""
        return self.heartbeat.step()

    def part(self, batch: Batch) -> Batch:
        """Return this rank's rows; where there are fewer rows than ranks, perhaps one without targets."""
        mine = self._rows(len(batch.ids))
        if not len(mine):
            row = batch.select(torch.tensor([0]))
            return replace(row, targets=torch.full_like(row.targets, IGNORED))
        return batch.select(mine)

    def _rows(self, rows: int) -> Tensor:
        return torch.arange(rows).tensor_split(self.size)[self.rank]

    def place(self, values: Tensor, rows: int) -> Tensor:
        """Return the values of all `rows` rows of a batch, of which `values` are this rank's."""
        every = torch.zeros(rows, dtype=values.dtype, device=values.device)
        mine = self._rows(rows)
        every[mine] = values[: len(mine)]
        return self.add(every)

    def add(self, tensor: Tensor) -> Tensor:
        """Replace a tensor by its sum over all ranks; return it."""
        dist.all_reduce(tensor)
        return tensor

    def shared(self, items: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
        """Return `function(items)`, of which each rank computes some of the first dimension and gets the others'.

        The function must handle each item by itself and keep its shape; items must be the same on all ranks.
        """
        each = -(-len(items) // self.size)
        mine = items[self.rank * each : (self.rank + 1) * each]
        results = items.new_empty(self.size, each, *items.shape[1:])
        own = items.new_zeros(each, *items.shape[1:])
        own[: len(mine)] = function(mine) if len(mine) else mine
        dist.all_gather(list(results.unbind()), own)
        return results.flatten(0, 1)[: len(items)]

    def seconds_of_sum(self, numbers: int, device: torch.device) -> float:
        """Return the time of a sum of some numbers over all ranks: the median of three after one."""
        seconds = []
        for _ in range(4):
            values = [torch.zeros(min(BUCKET, numbers), device=device) for _ in range(-(-numbers // BUCKET))]
            started = time.perf_counter()
            add_in_place(values)
            seconds.append(time.perf_counter() - started)
        return self.most(sorted(seconds[1:])[1])

    def most(self, value: float) -> float:
        """Return the largest of all ranks' values."""
        tensor = torch.tensor(value, dtype=torch.float64)
        dist.all_reduce(tensor, op=dist.ReduceOp.MAX)
        return tensor.item()

    def any(self, flag: bool) -> bool:
        """Return whether the flag is set on any rank."""
        return bool(self.add(torch.tensor(int(flag))))

    def from_all(self, value: T) -> list[T]:
        """Return the values of all ranks in their order; plain values, which are sent as bytes."""
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value)
        return values

    def from_first(self, function: Callable[[], T]) -> T:
        """Call a function on the first rank alone; return there and elsewhere what it returns.

        What it raises is raised on the first rank; the others then end quietly.
        """
        message: list[Any] = [None, None]
        try:
            if self.is_first:
                message = [function(), None]
        except BaseException as error:
            message = [None, type(error).__name__]
            raise
        finally:
            if self.is_first:
                dist.broadcast_object_list(message, src=0)
        if not self.is_first:
            dist.broadcast_object_list(message, src=0)
            if message[1] is not None:
                raise SystemExit(1)
        return cast(T, message[0])

    def copy_from_first(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors by those of the first rank."""
        for tensor in tensors:
            dist.broadcast(tensor.detach(), src=0)

    def require_same(self, values: Mapping[str, str], remedy: str) -> None:
        """Raise `UserError` where values, such as hashes of what is read, are not the first rank's."""
        first, *others = self.from_all(dict(values))
        differing = {
            rank: [name for name in {**first, **theirs} if first.get(name) != theirs.get(name)]
            for rank, theirs in enumerate(others, 1)
        }
        problems = [
            f"rank {rank}: its {', '.join(names)} is not that of rank 0" for rank, names in differing.items() if names
        ]
        problems = problems[:3] + ([f"and {len(problems) - 3} more ranks"] if len(problems) > 3 else [])
        self.from_first(lambda: raise_all([f"{'; '.join(problems)}; {remedy}"] if problems else []))

    def require_equal(self, tensors: Sequence[Tensor], what: str) -> None:
        """Raise `UserError` where tensors differ between ranks, as between processors that round otherwise."""
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
    """Join the ranks that torchrun started, and leave them at the end; alone, where it started none.

    Where ranks are joined already, as by Ray Train, they stay so.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield ALONE
        return
    if device.type == "cuda":
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    begun = not dist.is_initialized()
    store = _join(device) if begun else _store_beside()
    rank, size = dist.get_rank(), dist.get_world_size()
    try:
        ranks = JoinedRanks(rank, size)
        with watched(PrefixStore("watchdog", store), rank, size, ranks.heartbeat), _lost_ranks_explained(rank):
            yield ranks
    finally:
        if begun:
            dist.destroy_process_group()


def _join(device: torch.device) -> Store:
    """Begin a group by the addresses that torchrun left in the environment; return its store."""
    shared, rank, size = _meet()
    kept = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    # A store that torchrun keeps holds addresses of ranks that have died. A store of the ranks themselves is new, and
    # machines that came back later count fewer attempts.
    attempt = f"attempt {os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}" if kept else "attempt"
    store = PrefixStore(attempt, shared)
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=PATIENCE)
    return store


def _meet() -> tuple[Store, int, int]:
    """Return the store that all ranks share, this rank and their number, when all are there."""
    environment = {name: os.environ.get(name) for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")}
    if lacking := [name for name, value in environment.items() if not value]:
        raise UserError(
            f"WORLD_SIZE is {environment['WORLD_SIZE']}, but {', '.join(lacking)} not set; start it with torchrun"
        )
    here = f"rank {environment['RANK']} of {environment['WORLD_SIZE']}"
    place = f"{environment['MASTER_ADDR']}:{environment['MASTER_PORT']}"
    note = threading.Timer(NOTE_AFTER, print, [f"{here}: waiting for the others at {place}"], {"file": sys.stderr})
    note.daemon = True
    note.start()
    try:
        shared, rank, size = next(rendezvous("env://", timeout=JOINING))
    except (dist.DistError, RuntimeError) as error:
        minutes = JOINING.total_seconds() / 60
        raise UserError(
            f"{here}: not all came to {place} within {minutes:g} minutes; start all of them, with the same address"
        ) from error
    finally:
        note.cancel()
    return shared, rank, size


def _store_beside() -> Store:
    """Begin a store for ranks that are joined already."""
    host, first = os.environ.get("MASTER_ADDR", "127.0.0.1"), dist.get_rank() == 0
    server = TCPStore(host, 0, is_master=True, wait_for_workers=False) if first else None
    port = [server.port if server is not None else 0]
    dist.broadcast_object_list(port, src=0)
    return server if server is not None else TCPStore(host, port[0], is_master=False)


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
