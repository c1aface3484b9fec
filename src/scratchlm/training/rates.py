"""The learning-rate range test (Smith 2015, arXiv 1506.01186): a few steps whose rate rises from too low to too high.

The loss first stays, then falls, then rises again. The test knows nothing of what a rate is worth after many steps: it
reports the range in which a sweep is worth its time, and warns where a recipe's rate is outside.
"""

from __future__ import annotations

import contextlib
import copy
from dataclasses import dataclass, replace

from scratchlm.model.decoder import Decoder
from scratchlm.training.config import SpikeConfig, TrainingConfig
from scratchlm.training.loop import BatchSource, Loop, RuntimeConfig
from scratchlm.training.spikes import DivergenceError

STEPS = 100
LOWEST, HIGHEST = 1e-3, 1e3
"""The range of rates, as multiples of the recipe's."""
MEMORY = 0.8
"""Of the mean that smooths the losses."""
RISEN = 0.5
"""Nats above the lowest smoothed loss from which on a rate is too high to go on."""


@dataclass(frozen=True)
class RateTest:
    """What the test saw."""

    rates: list[float]
    losses: list[float]
    """Smoothed, in nats, after the step with each rate."""

    @property
    def lowest(self) -> float:
        """The rate at which the loss was lowest; what is higher undoes what was learned."""
        return self.rates[self.losses.index(min(self.losses))]

    @property
    def steepest(self) -> float:
        """The rate at which the loss fell fastest, between the first and the lowest."""
        end = self.losses.index(min(self.losses))
        falls = [self.losses[at - 1] - self.losses[at] for at in range(1, end + 1)]
        return self.rates[falls.index(max(falls)) + 1] if falls else self.rates[0]


def rate_test(
    decoder: Decoder, batches: BatchSource, config: TrainingConfig, runtime: RuntimeConfig, steps: int = STEPS
) -> RateTest:
    """Train a copy of a model with a rising rate; all rates of the optimizer rise alike. The model stays as it was."""

    def rising(step: int | float, steps: int, _: object) -> float:
        return LOWEST * (HIGHEST / LOWEST) ** (step / max(1, steps - 1))

    config = replace(config, steps=steps, tail_average=0.0, ema_decay=0.0, compile=False, spikes=SpikeConfig())
    loop = Loop(copy.deepcopy(decoder), batches, config, runtime=runtime, lr_factor=rising)
    rates: list[float] = []
    losses: list[float] = []
    mean = 0.0
    with contextlib.suppress(DivergenceError):
        for record in loop.steps():
            if record.skipped:
                break
            mean = MEMORY * mean + (1 - MEMORY) * record.loss
            rates.append(record.lr)
            losses.append(mean / (1 - MEMORY ** len(rates)))
            if losses[-1] > min(losses) + RISEN:
                break
    return RateTest(rates, losses)
