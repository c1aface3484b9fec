"""Sums of gradients over ranks, sent while the rest of the gradient is still being computed.

Gradients go in buckets, the last layers' first, since the way back begins there. A bucket is sent as soon as its
gradients are whole and the bucket before it is on its way, so all ranks send the same sums in the same order, as in Li
et al. 2020, "PyTorch Distributed" (arXiv 2006.15704).
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import torch
import torch.distributed as dist
from torch import Tensor

BUCKET = 1 << 20
"""Numbers of the gradient that are sent at once, at least."""


class Sent(NamedTuple):
    """The sum of a bucket, on its way."""

    work: Any
    flat: Tensor
    had: list[bool]
    """Which parameters of the bucket had a gradient on this rank."""


class GradientSums:
    """The gradients of a model's parameters, summed over all ranks of a step.

    A step calls `begin`, then `expect` before the backward pass that makes the gradients whole, the last of its
    micro-batches, then `finish`. A gradient that was sent is no longer the parameter's, until its sum takes its place.

    A backward pass that ran out of memory may be repeated after `interrupt`: what was sent before stays sent. Where it
    drew dropout masks, the repetition draws others, for the gradients that were not sent yet.
    """

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        """Watch the parameters: the same on all ranks, in the order in which the model uses them."""
        self.buckets = in_buckets([each for each in reversed(parameters) if each.requires_grad])
        """Groups of parameters whose gradients are summed at once, in the order in which they are sent."""
        self.sent: list[Sent] = []
        """The sums of this step that are on their way, of the first buckets."""
        self._expecting = False
        self._lacking: list[int] = []
        self.waited = 0.0
        """Seconds that the last step waited on a CPU for sums after its gradients were computed."""
        for number, bucket in enumerate(self.buckets):
            for parameter in bucket:
                parameter.register_post_accumulate_grad_hook(_telling(self, number))  # type: ignore[no-untyped-call]

    def begin(self) -> None:
        """Forget what a step that failed has sent."""
        self._expecting = False
        for sent in self.sent:
            sent.work.wait()
        self.sent = []

    def expect(self) -> None:
        """Begin to send gradients, of the backward pass that follows."""
        self._expecting, self._lacking = True, [len(bucket) for bucket in self.buckets]

    def interrupt(self) -> None:
        """Send nothing until `expect` is called again: the gradients are computed anew."""
        self._expecting = False

    def finish(self) -> None:
        """Send what is left and give each parameter the sum of its gradients; None where no rank has one."""
        self._expecting = False
        while len(self.sent) < len(self.buckets):
            self._send()
        started = time.perf_counter()
        for bucket, (work, flat, had) in zip(self.buckets, self.sent, strict=True):
            work.wait()
            for parameter, part, here in zip(bucket, parts_of(flat, bucket), had, strict=True):
                parameter.grad = part if here or bool(part.any()) else None
        self.waited, self.sent = time.perf_counter() - started, []

    def arrived(self, number: int, parameter: Tensor) -> None:
        """Take note that a parameter of a bucket has its gradient; send the buckets that are whole."""
        if not self._expecting:
            return
        if number < len(self.sent):  # by the pass before, which was interrupted
            parameter.grad = None
            return
        self._lacking[number] -= 1
        while len(self.sent) < len(self.buckets) and self._lacking[len(self.sent)] == 0:
            self._send()

    def _send(self) -> None:
        bucket = self.buckets[len(self.sent)]
        had = [parameter.grad is not None for parameter in bucket]
        flat = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in bucket])
        self.sent.append(Sent(dist.all_reduce(flat, async_op=True), flat, had))
        for parameter in bucket:
            parameter.grad = None


def _telling(sums: GradientSums, number: int) -> Callable[[Tensor], None]:
    """Return a hook that keeps nothing alive: not the sums, and so not the model that they watch."""
    reference = weakref.ref(sums)

    def tell(parameter: Tensor) -> None:
        if (alive := reference()) is not None:
            alive.arrived(number, parameter)

    return tell


def add_in_place(tensors: Sequence[Tensor]) -> None:
    """Replace tensors by their sums over all ranks; some at a time, while others are on their way."""
    buckets = in_buckets(tensors)
    sent = [torch.cat([each.flatten() for each in bucket]) for bucket in buckets]
    works = [dist.all_reduce(flat, async_op=True) for flat in sent]
    for work, flat, bucket in zip(works, sent, buckets, strict=True):
        cast(Any, work).wait()
        torch._foreach_copy_(bucket, parts_of(flat, bucket))


def in_buckets(tensors: Sequence[Tensor]) -> list[list[Tensor]]:
    """Return the tensors in groups of at least `BUCKET` numbers of one dtype, except the last."""
    buckets: list[list[Tensor]] = []
    for tensor in tensors:
        last = buckets[-1] if buckets else []
        if not last or last[0].dtype != tensor.dtype or sum(each.numel() for each in last) >= BUCKET:
            buckets.append([])
        buckets[-1].append(tensor)
    return buckets


def parts_of(flat: Tensor, tensors: Sequence[Tensor]) -> list[Tensor]:
    """Return the parts of a vector in the shapes of the tensors that it was made of."""
    parts = torch.split(flat, [each.numel() for each in tensors])
    return [part.view_as(each) for part, each in zip(parts, tensors, strict=True)]
