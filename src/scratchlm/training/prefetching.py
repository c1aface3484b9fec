"""Batches that are made while a GPU computes the step before."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch

from scratchlm.data.batches import Batch, State
from scratchlm.training.loop import BatchSource


def for_device(source: BatchSource, device: torch.device) -> BatchSource:
    """Return a source of batches that suits a device.

    A GPU copies from pinned memory, which the system may not move, and nothing waits for the copy. Where cores of a
    CPU compute the step, a batch is made when it is asked for: it would take their time.
    """
    return MadeAhead(source) if device.type == "cuda" else source


@dataclass(frozen=True)
class MadeAhead:
    """A source whose next batch a thread makes while the last is in use.

    Not for a source that looks at the model, as answers to questions do: the thread would see weights that change.
    """

    source: BatchSource
    change: Callable[[Batch], Batch] = Batch.pinned

    def __call__(self, state: Mapping[str, int] | None = None) -> Iterator[tuple[Batch, State]]:
        """Yield the batches of the source, each with its state.

        An error of the source is raised in the place of the batch that it kept from being made.
        """
        stream = self.source(state)

        def take() -> tuple[Batch, State] | None:
            pair = next(stream, None)
            return None if pair is None else (self.change(pair[0]), pair[1])

        with ThreadPoolExecutor(1) as worker:
            following = worker.submit(take)
            while (pair := following.result()) is not None:
                following = worker.submit(take)
                yield pair
