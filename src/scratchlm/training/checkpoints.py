"""Checkpoints of a run: saved whole, the newest kept, the latest restored exactly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
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
    rollbacks: Amount = 0
    spikes: dict[str, Any] = field(default_factory=dict)

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
    every: int = 0
    """Steps between two; what a stop saved between them is kept until the next, and no run returns to it."""

    def save(self, step: int, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> Path:
        """Write the checkpoint of `step`, then remove all but the newest `keep`, and what was saved between these."""
        path = self.folder / f"{step:08d}"
        save_checkpoint(path, self.model, tensors, {"step": step, **state})
        self._prune()
        return path

    def _prune(self) -> None:
        found = list_checkpoints(self.folder)
        kept = self._regular()[-self.keep :] or found[-self.keep :]
        for old in [each for each in found[:-1] if each not in kept]:
            discard(old)

    def _regular(self) -> list[Path]:
        return [each for each in list_checkpoints(self.folder) if self.every and int(each.name) % self.every == 0]

    def last_good(self, step: int | None) -> Path | None:
        """Return the checkpoint to go back to: the newest up to a step; where all are later, the oldest.

        None where there is none. Only those that every run has count, so that one that was stopped goes back as far.
        """
        found = self._regular()
        early = [each for each in found if step is None or int(each.name) <= step]
        return max(early, default=min(found, default=None))

    def drop_after(self, kept: Path) -> None:
        """Remove the checkpoints that are newer than one."""
        for later in [each for each in list_checkpoints(self.folder) if each.name > kept.name]:
            discard(later)

    def restore(self, latest: Path | None = None) -> tuple[dict[str, Tensor], TrainingState] | None:
        """Load a checkpoint, or the latest, into the model; return the optimizer's tensors and the loop's state.

        None where there is no checkpoint. Raises `UserError` when it is truncated or altered.
        """
        latest = latest or latest_checkpoint(self.folder)
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
