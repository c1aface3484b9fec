"""The learning-rate schedule as a pure function of the step."""

from __future__ import annotations

import math

from scratchlm.training.config import ScheduleConfig


def lr_factor(step: int, steps: int, config: ScheduleConfig) -> float:
    """Return the learning rate as a fraction of its peak at `step` (from 0) of a run of `steps` steps.

    Warm-up reaches the peak at step `warmup_steps` (at most a tenth of the run, so that short runs train too); the last
    step of the run is one step above `final_fraction`.
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
