"""Sums of gradients over ranks, sent while the rest of the gradient is still being computed.

Gradients go in buckets, the last layers' first, since the way back begins there. A bucket is sent as soon as its
gradients are whole and the bucket before it is on its way, so all ranks send the same sums in the same order, as Li
et al. 2020, "PyTorch Distributed" (arXiv 2006.15704), do.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor

BUCKET = 1 << 20
"""Numbers of the gradient that are sent at once, at least."""


class GradientSums:
    """The gradients of a model's parameters, summed over all ranks of a step.

    A step calls `expect` before the backward pass that makes the gradients whole, the last of its micro-batches, and
    `finish` after it. A backward pass that failed may be repeated: what was sent before stays sent.
    """

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        """Watch the parameters: the same on all ranks, in the order in which the model uses them."""
        self._buckets = in_buckets([each for each in reversed(parameters) if each.requires_grad])
        self._sent: list[tuple[Any, Tensor]] = []
        self._expecting = False
        self._lacking: list[int] = []
        self.waited = 0.0
        """Seconds that the last step waited for sums after its gradients were computed."""
        for number, bucket in enumerate(self._buckets):
            for parameter in bucket:
                parameter.register_post_accumulate_grad_hook(partial(self._arrived, number))  # type: ignore[no-untyped-call]

    def expect(self) -> None:
        """Begin to send gradients, of the backward pass that follows."""
        self._expecting, self._lacking = True, [len(bucket) for bucket in self._buckets]

    def interrupt(self) -> None:
        """Send nothing until `expect` is called again: the gradients are computed anew."""
        self._expecting = False

    def finish(self) -> None:
        """Send what is left and replace each gradient by its sum; a gradient that no rank has stays None."""
        self._expecting = False
        while len(self._sent) < len(self._buckets):
            self._send()
        started = time.perf_counter()
        for bucket, (work, flat) in zip(self._buckets, self._sent, strict=True):
            work.wait()
            _receive(flat, bucket)
        self.waited, self._sent = time.perf_counter() - started, []

    def _arrived(self, number: int, _: Tensor) -> None:
        if not self._expecting:
            return
        self._lacking[number] -= 1
        while len(self._sent) < len(self._buckets) and self._lacking[len(self._sent)] == 0:
            self._send()

    def _send(self) -> None:
        bucket = self._buckets[len(self._sent)]
        flat = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in bucket])
        self._sent.append((dist.all_reduce(flat, async_op=True), flat))


def add_in_place(tensors: Sequence[Tensor]) -> None:
    """Replace tensors by their sums over all ranks; some at a time, while others are on their way."""
    buckets = in_buckets(tensors)
    sent = [torch.cat([each.flatten() for each in bucket]) for bucket in buckets]
    works = [dist.all_reduce(flat, async_op=True) for flat in sent]
    for work, flat, bucket in zip(works, sent, buckets, strict=True):
        cast(Any, work).wait()
        torch._foreach_copy_(bucket, parts_of(flat, bucket))


def in_buckets(tensors: Sequence[Tensor]) -> list[list[Tensor]]:
    """Return the tensors in groups of at least `BUCKET` numbers of one dtype, but for the last."""
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


def _receive(flat: Tensor, bucket: Sequence[Tensor]) -> None:
    for parameter, part in zip(bucket, parts_of(flat, bucket), strict=True):
        if parameter.grad is not None:
            parameter.grad.copy_(part)
        elif bool(part.any()):  # another rank's rows used it
            parameter.grad = part.clone()
