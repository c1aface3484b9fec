"""What the measurements of learning share: a curve of held-out loss against training time, and where results go."""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scratchlm.base.device import machine
from scratchlm.model.decoder import Decoder
from scratchlm.recipes.hooks import Stateless

RESULTS = Path(__file__).parent.parent / "results" / "learning"
DATA = Path(os.environ.get("SCRATCHLM_DATA", "data"))


@dataclass
class Curve(Stateless):
    """A hook that scores the model and keeps its own time out of the clock."""

    score: Callable[[Decoder], float]
    every: int
    name: str = "evaluation"
    started: float = field(default_factory=time.perf_counter)
    points: list[tuple[float, float]] = field(default_factory=list)
    spent: float = 0.0

    def __call__(self, step: int, decoder: Decoder) -> Mapping[str, Any]:
        """Add a point: seconds of training so far, loss."""
        began = time.perf_counter()
        if step:
            self.points.append((began - self.started - self.spent, self.score(decoder)))
        self.spent += time.perf_counter() - began
        return {"loss": self.points[-1][1]} if self.points else {}


def median_of(runs: Sequence[Mapping[str, Any]], key: str) -> float:
    """Return the median of a figure over runs of several seeds."""
    return statistics.median(run[key] for run in runs)


def write(name: str, result: Mapping[str, Any]) -> Path:
    """Write a result with the machine it was measured on."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps({"machine": machine(), **result}, indent=1) + "\n", encoding="utf-8")
    return path


def read(name: str) -> dict[str, Any] | None:
    """Return a result, or None where it was not measured."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def data_file(name: str) -> Path:
    """Return a file of the data folder; ends the program with a remedy where it is missing."""
    path = DATA / name
    if not path.exists():
        raise SystemExit(f"{path}: not there; set SCRATCHLM_DATA to a folder that holds {name}")
    return path
