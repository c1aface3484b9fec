"""The learning-rate schedule as a pure function of the step, also in a run whose number of steps changes on the way."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from scratchlm.training.config import ScheduleConfig


def lr_factor(step: int | float, steps: int, config: ScheduleConfig) -> float:
    """Return the learning rate as a fraction of its peak at `step` (from 0) of a run of `steps` steps.

    Warm-up reaches the peak at step `warmup_steps` (at most a tenth of the run, so that short runs train too); the last
    step of the run is one step above `final_fraction`. `step` may lie between two, as `StepPlan.place` does.
    """
    warmup = min(config.warmup_steps, steps // 10)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    final = config.final_fraction
    match config.shape:
        case "linear":
            left = (steps - step) / max(1, steps - warmup)
        case "cosine":
            left = 0.5 * (1.0 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))
        case "stable_decay":
            left = min(1.0, (steps - step) / max(1.0, config.decay_fraction * steps))
    return final + (1.0 - final) * left


class _Piece(NamedTuple):
    """From `step` on, where the schedule has come to `place`, the run has `steps` in all."""

    step: int
    place: float
    steps: int


class StepPlan:
    """How many steps a run has, as planned at first and as revised on the way.

    A revision spreads what is left of the schedule evenly over the steps that are left, faster or slower than before.
    So the rate never jumps, does not rise once it falls, and ends where it would have ended, whenever the number of
    steps changes and whether it grows or shrinks. All follows from the first plan and the revisions; no clock is read.
    """

    def __init__(self, steps: int, revisions: Sequence[Sequence[int]] = ()) -> None:
        self.first = steps
        """Steps of the first plan: the scale of `place`."""
        self._pieces = [_Piece(0, 0.0, steps)]
        for step, revised in revisions:
            self.end(step) if step == revised else self.revise(step, revised)

    @property
    def steps(self) -> int:
        """Steps of the whole run, by the latest revision."""
        return self._pieces[-1].steps

    @property
    def revisions(self) -> list[list[int]]:
        """The step of each revision and the steps of the whole run from there on, as JSON values."""
        return [[piece.step, piece.steps] for piece in self._pieces[1:]]

    def revise(self, step: int, steps: int) -> None:
        """Give the run `steps` in all, more than the `step` it has taken.

        Raises `ValueError` for fewer, and for a step before that of the latest revision.
        """
        if not self._pieces[-1].step <= step < steps:
            raise ValueError(f"a revision at step {step} to {steps} steps, after {self.revisions}")
        if step == 0:  # nothing of the schedule is behind, so this is the first plan
            self.first, self._pieces = steps, [_Piece(0, 0.0, steps)]
        elif steps != self.steps:
            self._pieces.append(_Piece(step, self.place(step), steps))

    def end(self, step: int) -> None:
        """Make a step that was taken the last one, before its time; the schedule is left where it stands."""
        self._pieces.append(_Piece(step, self.place(step), step))

    def place(self, step: int) -> float:
        """Return where a step stands among those of the first plan: itself before any revision.

        `step` must not lie before the latest revision.
        """
        latest = self._pieces[-1]
        if len(self._pieces) == 1:
            return float(step)
        left = max(1, latest.steps - latest.step)  # none where the run was ended
        return latest.place + (self.first - latest.place) * (step - latest.step) / left

    def reaches(self, place: int) -> int:
        """Return the step that first stands at a place of the first plan, or beyond it."""
        if len(self._pieces) == 1:
            return place
        ends = [(piece.step, piece.place) for piece in self._pieces[1:]] + [(self.steps, float(self.first))]
        for piece, (end, reached) in zip(self._pieces, ends, strict=True):
            if reached >= place:
                share = (place - piece.place) / max(reached - piece.place, 1e-12)
                return min(end, piece.step + math.ceil(share * (end - piece.step)))
        return self.steps
