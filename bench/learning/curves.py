"""Shared by the measurements of learning: a curve of held-out loss against training time."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from scratchlm.base.runfolder import Evaluation
from scratchlm.model.decoder import Decoder
from scratchlm.runs.hooks import Stateless


@dataclass
class Curve(Stateless):
    """A hook that scores the model and excludes its own time."""

    score: Callable[[Decoder], float]
    every: int
    name: str = "evaluation"
    started: float = field(default_factory=time.perf_counter)
    points: list[tuple[float, float]] = field(default_factory=list)
    spent: float = 0.0

    def __call__(self, step: int, decoder: Decoder) -> Evaluation | None:
        """Add a point: seconds of training so far, loss."""
        began = time.perf_counter()
        if step:
            self.points.append((began - self.started - self.spent, self.score(decoder)))
        self.spent += time.perf_counter() - began
        return Evaluation(step=step, loss=self.points[-1][1]) if self.points else None


def median_of(runs: Sequence[Mapping[str, Any]], key: str) -> float:
    """Return the median of a value over runs with different seeds."""
    return statistics.median(run[key] for run in runs)
