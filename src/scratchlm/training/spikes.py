"""Loss spikes: what is far worse than the text before it never reaches the weights, and a loss that rises is noticed.

The rule for a batch is that of OLMo 2 (2024, arXiv 2501.00656): its loss is more than `sigma` standard deviations above
the mean of the last steps; so is its gradient norm, where nothing clips it. The same rule for single rows finds a bad
document among many good ones, whose loss a batch hides: only its rows are left out. A loss that rises slowly passes
both rules; it is compared with the lowest mean of the run.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from scratchlm.base.errors import UserError
from scratchlm.training.config import SpikeConfig
from scratchlm.training.ranks import Ranks

RECENT = 32
"""Steps whose mean loss is compared with the lowest such mean."""
MOST_ROWS = 0.25
"""Fraction of a batch's rows that may be left out; where more are bad, the batch is skipped."""
LEAST_ROW = 1.0
"""Nats that a row is above the mean, at least, where it is left out: rare and hard text is not bad."""
LEAST = 0.01
"""Least standard deviation that is reckoned with, in nats, and as a fraction of the mean gradient norm: a run that has
learned its text by heart has losses near 0 that hardly differ."""


class DivergenceError(UserError):
    """The loss is not finite, or far too high, for many steps: the run cannot go on from these weights."""

    def __init__(self, reason: str, finite: bool = True) -> None:
        super().__init__(reason)
        self.finite = finite
        """Whether the numbers are finite, so that a run that cannot return may go on all the same."""


class SpikeWatch:
    """The losses and gradient norms of the last good steps, as plain numbers that a checkpoint keeps."""

    def __init__(self, config: SpikeConfig, clipped: bool = False) -> None:
        """Where gradients are `clipped`, none is too long."""
        self.config, self.clipped = config, clipped
        self._shape: tuple[int, ...] | None = None
        self.forget()
        self.begin_pass()

    def forget(self) -> None:
        """Begin anew, as after a return to an earlier checkpoint."""
        self._losses: deque[float] = deque(maxlen=self.config.window)
        self._norms: deque[float] = deque(maxlen=self.config.window)
        self._rows: deque[tuple[int, float, float]] = deque(maxlen=self.config.window)
        self._lowest: tuple[int, float, float] | None = None

    def begin(self, shape: Sequence[int]) -> None:
        """Begin anew where batches have another shape: their losses compare with no earlier ones."""
        if self._shape != tuple(shape):
            self._shape = tuple(shape)
            self.forget()

    def begin_pass(self) -> None:
        """Forget the rows of a step whose gradient is computed anew."""
        self._seen: list[Tensor] = []

    def judge(self, losses: Float[Tensor, " B"]) -> Bool[Tensor, " B"]:
        """Take note of the mean loss of each row of a micro-batch, and return which are to be left out."""
        self._seen.append(losses)
        return self.bad_rows(losses)

    def rows(self, ranks: Ranks, count: int) -> Float[Tensor, " B"] | None:
        """Return the losses of all `count` rows of the step, of which each rank has seen its own; None if none were."""
        return ranks.place(torch.cat(self._seen), count) if self._seen else None

    def bad_rows(self, losses: Float[Tensor, " B"]) -> Bool[Tensor, " B"]:
        """Return which rows are to be left out, by the mean loss of each, in nats."""
        return losses > self._row_limit()

    def bad_rows_line(self, bad: int, rows: int) -> str:
        """Say that rows are bad."""
        return f"{bad} of {rows} rows have a loss over {self._row_limit():.4g}"

    def _row_limit(self) -> float:
        """Return the mean loss of a row above which it is left out."""
        if self.config.sigma == 0 or len(self._rows) < self.config.window // 2:
            return math.inf
        count, total, squares = np.array(self._rows).sum(0)
        mean = total / count
        return float(mean + max(self.config.sigma * math.sqrt(max(squares / count - mean * mean, 0.0)), LEAST_ROW))

    def problem(self, loss: float, norm: float, rows: Float[Tensor, " B"] | None = None) -> str | None:
        """Say what is wrong with a step before it is taken; None where it may be. `rows` are the losses of all rows."""
        if not (math.isfinite(loss) and math.isfinite(norm)):
            return f"loss {loss} and gradient norm {norm}, not finite"
        bad = 0 if rows is None else int(self.bad_rows(rows).sum())
        if rows is not None and bad > MOST_ROWS * len(rows):
            return self.bad_rows_line(bad, len(rows))
        if self.config.sigma == 0 or len(self._losses) < self.config.window // 2:
            return None
        losses, norms = np.array(self._losses), np.array(self._norms)
        limit = losses.mean() + self.config.sigma * max(losses.std(), LEAST)
        if loss > limit:
            return f"loss {loss:.4g}, over {limit:.4g} ({self.config.sigma:g} standard deviations)"
        limit = norms.mean() + self.config.sigma * max(norms.std(), LEAST * norms.mean())
        if norm > limit and not self.clipped:
            return f"gradient norm {norm:.4g}, over {limit:.4g} ({self.config.sigma:g} standard deviations)"
        return None

    def add(self, step: int, loss: float, norm: float, rows: Float[Tensor, " B"] | None = None) -> None:
        """Take note of a step that was taken; `rows` are the losses of its rows that were not left out.

        A row whose loss is NaN is not judged.
        """
        if rows is not None:
            rows = rows[~rows.isnan()]
            self._rows.append((len(rows), float(rows.double().sum()), float(rows.double().square().sum())))
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
        values = {"losses": list(self._losses), "norms": list(self._norms), "rows": list(self._rows)}
        return {**values, "lowest": self._lowest, "shape": self._shape}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take back what `state` returned; nothing of a checkpoint that is older than this."""
        self.forget()
        self._losses.extend(state.get("losses", ()))
        self._norms.extend(state.get("norms", ()))
        self._rows.extend(tuple(each) for each in state.get("rows", ()))
        self._lowest = tuple(state["lowest"]) if state.get("lowest") else None
        self._shape = tuple(state["shape"]) if state.get("shape") else None
