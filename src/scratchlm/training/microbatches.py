"""Micro-batches: the rows of a step that are computed at once, halved where memory is too small for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from scratchlm.base.errors import UserError
from scratchlm.data.batches import Batch
from scratchlm.training.ranks import Placement

NO_MEMORY = "can't allocate memory"
"""What torch says where a CPU's memory is too small."""


class MicroBatches:
    """The size of a run's micro-batches, in rows; None: as many as a step has."""

    def __init__(self, size: int | None) -> None:
        self.size = size

    def gradients(
        self,
        batch: Batch,
        placement: Placement,
        compute: Callable[[Sequence[Batch]], Tensor],
        forget: Callable[[], None],
        step: int,
    ) -> Tensor:
        """Return what `compute` returns for the micro-batches of a batch.

        Where memory is too small, they are halved, for good; `forget` drops the gradients, and all is computed again.
        Raises `UserError` where one row is too many, or where other ranks wait in the middle of the model.
        """
        rows = len(placement.ranks.part(batch).ids)
        placement.begin()
        while True:
            try:
                return compute(placement.micro_batches(batch, self.size))
            except (MemoryError, RuntimeError) as error:  # torch reports a CPU's lack of memory by a plain RuntimeError
                if not (isinstance(error, MemoryError | torch.OutOfMemoryError) or NO_MEMORY in str(error)):
                    raise
                self._halve(min(self.size or rows, rows), batch.ids.shape[1], placement, step, error)
            forget()  # outside: the error holds what the step had computed
            if batch.ids.device.type == "cuda":
                torch.cuda.empty_cache()

    def _halve(self, size: int, length: int, placement: Placement, step: int, error: Exception) -> None:
        if not placement.repeats:
            raise UserError(
                f"step {step}: out of memory with {size} rows of {length} tokens; resume with fewer in "
                "training.micro_batch_size, or on more ranks"
            ) from error
        if size == 1:
            raise UserError(
                f"step {step}: out of memory with one row of {length} tokens; lower training.sequence_length or the "
                "model's size, or close other programs"
            ) from error
        self.size = size // 2
        placement.interrupt()
