"""Batches on the device that computes: for a GPU, the next one is made while it computes the step before."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from scratchlm.data.batches import Batch, State


def batches_on(device: torch.device, stream: Iterator[tuple[Batch, State]]) -> Iterator[tuple[Batch, State]]:
    """Yield the batches of a stream on a device, each with its state.

    A GPU copies from pinned memory, which the system may not move, and nothing waits for the copy. Where cores of a
    CPU compute the step, a batch is made when it is asked for: it would take their time.
    """
    if device.type == "cuda":
        for batch, state in made_ahead(stream, Tensor.pin_memory):
            yield batch.to(device), state
    else:
        for batch, state in stream:
            yield batch.to(device), state


def made_ahead(
    stream: Iterator[tuple[Batch, State]], change: Callable[[Tensor], Tensor]
) -> Iterator[tuple[Batch, State]]:
    """Yield what a stream yields, with its tensors changed; a thread makes the next batch while the last is in use.

    An error of the stream is raised in the place of the batch that it kept from being made.
    """

    def take() -> tuple[Batch, State] | None:
        found = next(stream, None)
        return None if found is None else (found[0].each(change), found[1])

    with ThreadPoolExecutor(1) as worker:
        following = worker.submit(take)
        while (found := following.result()) is not None:
            following = worker.submit(take)
            yield found
