"""Checkpoints of a run: saved whole, the newest kept, the latest restored exactly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from torch import Tensor

from scratchlm.base.config import read_known
from scratchlm.base.errors import UserError, raise_all
from scratchlm.base.folders import discard
from scratchlm.base.ranges import Amount, Range, out_of_range
from scratchlm.weights.checkpoint import (
    STATE_FILE,
    SavedModel,
    latest_checkpoint,
    list_checkpoints,
    load_training_state,
    load_weights,
    save_checkpoint,
)


@dataclass(frozen=True)
class TrainingState:
    """What the loop remembers across a resume, beside tensors."""

    step: Amount
    bad_steps: Amount
    batches: dict[str, int] | None
    scaler: dict[str, Any]
    hooks: dict[str, dict[str, Any]]
    log_lines: Amount
    steps: Annotated[int | None, Range(1)] = None
    """Steps of the whole run, which a pace may have changed."""

    def __post_init__(self) -> None:
        """Check ranges."""
        negative = [f"batches.{name} is {value}" for name, value in (self.batches or {}).items() if value < 0]
        raise_all(out_of_range(self, "state") + [f"state.{each}: must not be negative" for each in negative])


@dataclass(frozen=True)
class Checkpoints:
    """The folder `checkpoints/` of a run; each inside is named by the number of steps done."""

    folder: Path
    model: SavedModel
    keep: int = 2

    def save(self, step: int, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> Path:
        """Write the checkpoint of `step`, then remove those beyond the newest `keep`."""
        path = self.folder / f"{step:08d}"
        save_checkpoint(path, self.model, tensors, {"step": step, **state})
        self._prune()
        return path

    def _prune(self) -> None:
        for old in list_checkpoints(self.folder)[: -self.keep]:
            discard(old)

    def restore(self) -> tuple[dict[str, Tensor], TrainingState] | None:
        """Load the latest checkpoint into the model and return the optimizer's tensors and the loop's state.

        None where there is no checkpoint. Raises `UserError` when the latest is truncated or altered.
        """
        latest = latest_checkpoint(self.folder)
        if latest is None:
            return None
        try:
            tensors, _ = load_training_state(latest)
            state = read_known(TrainingState, latest / STATE_FILE)
        except UserError as error:
            raise UserError(f"{error}; removing {latest} resumes from the one before") from error
        load_weights(self.model.decoder, latest)
        self._prune()  # a kill may have come between the save and this
        return tensors, state
