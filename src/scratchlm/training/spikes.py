"""Loss spikes: a batch that is far worse than those before it is skipped, and a loss that rises is noticed.

The rule for one batch is that of OLMo 2 (2024, arXiv 2501.00656): its loss or gradient norm is more than `sigma`
standard deviations above the mean of the last steps. It is judged before the optimizer's step, so it never reaches the
weights. A loss that rises slowly passes that rule; it is compared with the lowest mean of the run.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from scratchlm.base.errors import UserError
from scratchlm.training.config import SpikeConfig

RECENT = 32
"""Steps whose mean loss is compared with the lowest such mean."""
LEAST = 0.01
"""Least standard deviation that is reckoned with, in nats, and as a fraction of the mean gradient norm: a run that has
learned its text by heart has losses near 0 that hardly differ."""


class DivergenceError(UserError):
    """The loss is not finite, or far too high, for many steps: the run cannot go on from these weights."""


class SpikeWatch:
    """The losses and gradient norms of the last good steps, as plain numbers that a checkpoint keeps."""

    def __init__(self, config: SpikeConfig) -> None:
        self.config = config
        self._shape: tuple[int, ...] | None = None
        self.forget()

    def forget(self) -> None:
        """Begin anew, as after a return to an earlier checkpoint."""
        self._losses: deque[float] = deque(maxlen=self.config.window)
        self._norms: deque[float] = deque(maxlen=self.config.window)
        self._lowest: tuple[int, float, float] | None = None

    def begin(self, shape: Sequence[int]) -> None:
        """Begin anew where batches have another shape: their losses compare with no earlier ones."""
        if self._shape != tuple(shape):
            self._shape = tuple(shape)
            self.forget()

    def problem(self, loss: float, norm: float) -> str | None:
        """Say what is wrong with a step before it is taken; None where it may be."""
        if not (math.isfinite(loss) and math.isfinite(norm)):
            return f"loss {loss} and gradient norm {norm}, not finite"
        if self.config.sigma == 0 or len(self._losses) < self.config.window // 2:
            return None
        losses, norms = np.array(self._losses), np.array(self._norms)
        spread = max(losses.std(), LEAST), max(norms.std(), LEAST * norms.mean())
        for name, value, mean, deviation in zip(
            ("loss", "gradient norm"), (loss, norm), (losses.mean(), norms.mean()), spread, strict=True
        ):
            limit = mean + self.config.sigma * deviation
            if value > limit:
                return f"{name} {value:.4g}, over {limit:.4g} ({self.config.sigma:g} standard deviations)"
        return None

    def add(self, step: int, loss: float, norm: float) -> None:
        """Take note of a step that was taken."""
        self._losses.append(loss)
        self._norms.append(norm)
        if len(self._losses) >= max(RECENT, self.config.window // 2):
            mean, deviation = self._recent()
            if self._lowest is None or mean < self._lowest[1]:
                self._lowest = step, mean, deviation

    def risen(self) -> str | None:
        """Say so where the loss of the last steps is far above the lowest of the run."""
        if self._lowest is None or self.config.sigma == 0:
            return None
        _, lowest, deviation = self._lowest
        mean, _ = self._recent()
        if mean <= lowest + self.config.sigma * deviation:
            return None
        return f"mean loss of {RECENT} steps {mean:.4g}, after {lowest:.4g} earlier"

    @property
    def good_step(self) -> int | None:
        """The step at which the loss of the last ones was lowest."""
        return None if self._lowest is None else self._lowest[0]

    def _recent(self) -> tuple[float, float]:
        recent = np.array(self._losses)[-RECENT:]
        return float(recent.mean()), max(float(recent.std()), LEAST)

    def state(self) -> dict[str, Any]:
        """Return what a resume needs, as JSON values."""
        told = {"losses": list(self._losses), "norms": list(self._norms)}
        return {**told, "lowest": self._lowest, "shape": self._shape}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take back what `state` returned; nothing of a checkpoint that is older than this."""
        self.forget()
        self._losses.extend(state.get("losses", ()))
        self._norms.extend(state.get("norms", ()))
        self._lowest = tuple(state["lowest"]) if state.get("lowest") else None
        self._shape = tuple(state["shape"]) if state.get("shape") else None
