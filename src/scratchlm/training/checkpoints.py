"""Checkpoints of a run: saved whole, the newest kept, the latest restored exactly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from torch import Tensor

from scratchlm.base.config import read_known
from scratchlm.base.errors import UserError, raise_all
from scratchlm.base.files import require_space
from scratchlm.base.folders import discard
from scratchlm.base.ranges import Amount, Range, out_of_range
from scratchlm.base.runfolder import CHECKPOINTS
from scratchlm.training.config import TrainingConfig
from scratchlm.training.schedule import StepPlan
from scratchlm.weights.checkpoint import (
    STATE_FILE,
    SavedModel,
    latest_checkpoint,
    list_checkpoints,
    load_training_state,
    load_weights,
    require_checkpoint_of,
    save_checkpoint,
)


@dataclass(frozen=True)
class Best:
    """The step with the lowest loss on held-out text."""

    step: Amount
    loss: float
    tokens: int | None
    """Held-out tokens that were scored; losses of different ones are not compared."""


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
    """Steps of the whole run, by its latest revision."""
    planned: Annotated[int | None, Range(1)] = None
    """Steps of the whole run as planned before the first; None in older checkpoints."""
    revisions: list[tuple[int, int]] = field(default_factory=list)
    """The step of each revision of that number, and the steps of the whole run from there on (`StepPlan`)."""
    micro_batch_size: Annotated[int | None, Range(1)] = None
    best: Best | None = None
    rollbacks: Amount = 0
    spikes: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check ranges."""
        negative = [f"batches.{name} is {value}" for name, value in (self.batches or {}).items() if value < 0]
        raise_all(out_of_range(self, "state") + [f"state.{each}: must not be negative" for each in negative])
        try:
            StepPlan(self.planned or 1, self.revisions)
        except ValueError as error:
            raise UserError(f"state.revisions: {error} is no plan of steps") from error


@dataclass
class Checkpoints:
    """The folder `checkpoints/` of a run; each inside is named by the number of steps done."""

    folder: Path
    model: SavedModel
    keep: int = 2
    every: int = 0
    """Steps between two; what a stop saved between them is kept until the next, and no run returns to it."""
    keep_best: bool = False
    best: Best | None = None
    averaged: bool = False
    """Whether an average of the weights is kept too."""

    @classmethod
    def of(cls, run: Path, model: SavedModel, training: TrainingConfig) -> Checkpoints:
        """Return those of a run's folder. Let a new run `require_space` before `begin_run` empties the folder."""
        averaged = training.tail_average > 0 or training.ema_decay > 0
        kept = (training.keep_checkpoints, training.checkpoint_every, training.keep_best)
        return cls(run / CHECKPOINTS, model, *kept, averaged=averaged)

    @property
    def size(self) -> int:
        """Bytes of one, at most: weights, and two numbers of an optimizer and an average for each that is trained."""
        parameters, trained = list(self.model.decoder.parameters()), 4 if self.averaged else 3
        return sum(p.numel() * p.element_size() * (trained if p.requires_grad else 1) for p in parameters)

    def require_space(self) -> None:
        """Refuse a run whose checkpoints do not fit on the disk. Raises `UserError`."""
        count = self.keep + self.keep_best + 1  # one is written before an older one goes
        missing = max(0, count - len(list_checkpoints(self.folder)))
        remedy = "free some, choose another folder or lower training.keep_checkpoints"
        require_space(self.folder, missing * self.size, f"{missing} checkpoints", remedy)

    def compare(self, step: int, loss: float, tokens: int | None) -> None:
        """Take note of a loss on held-out text: of the steps that every run saves, the one with the lowest is kept."""
        best, regular = self.best, self.every > 0 and step > 0 and step % self.every == 0
        if self.keep_best and regular and (best is None or (best.tokens == tokens and loss < best.loss)):
            self.best = Best(step, loss, tokens)

    def save(self, step: int, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> Path:
        """Write the checkpoint of `step`, then remove all but the newest `keep`, and what was saved between these."""
        path = self.folder / f"{step:08d}"
        save_checkpoint(path, self.model, tensors, {"step": step, **state})
        self._prune()
        return path

    def _prune(self) -> None:
        every = list_checkpoints(self.folder)
        kept = self._regular()[-self.keep :] or every[-self.keep :]
        best = None if self.best is None else f"{self.best.step:08d}"
        for old in [each for each in every[:-1] if each not in kept and each.name != best]:
            discard(old)

    def _regular(self) -> list[Path]:
        return [each for each in list_checkpoints(self.folder) if self.every and int(each.name) % self.every == 0]

    def last_good(self, step: int | None) -> Path | None:
        """Return the checkpoint to go back to: the newest up to a step; where all are later, the oldest.

        None where there is none. Only those that every run has count, so that one that was stopped goes back as far.
        """
        regular = self._regular()
        early = [each for each in regular if step is None or int(each.name) <= step]
        return max(early, default=min(regular, default=None))

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
        require_checkpoint_of(self.model, latest)
        best = state.best
        self.best = best if best is not None and (self.folder / f"{best.step:08d}").exists() else None
        load_weights(self.model.decoder, latest)
        self._prune()  # a kill may have come between the save and this
        return tensors, state
