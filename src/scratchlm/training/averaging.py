"""Averages of weights over a run, which take the place of the last step's weights at its end.

Over the last steps, all alike (Izmailov et al. 2018, arXiv 1803.05407); or over all steps, the recent ones most (an
exponential moving average, Polyak and Juditsky 1992).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from scratchlm.training.config import TrainingConfig
from scratchlm.training.distributed.parts import layouts, part_like
from scratchlm.training.schedule import StepPlan

SUFFIX = ":average"
"""Marks the averages among a checkpoint's tensors."""


class WeightAverage:
    """The running mean of a model's weights that `tail_average` or `ema_decay` ask for.

    Where the steps of a run change on its way, a tail average begins where the schedule stands as far as it would have.
    """

    def __init__(self, model: nn.Module, config: TrainingConfig) -> None:
        self._weights: dict[str, Tensor] = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self._tail, self._decay = config.tail_average, config.ema_decay
        self._means: dict[str, Tensor] = {}

    @torch.no_grad()
    def update(self, step: int, plan: StepPlan) -> None:
        """Take note of the weights after `step` steps; after the last, put the mean in their place."""
        share = self._share(step, plan)
        if share is None:
            return
        if not self._means:
            self._means = {name: weight.detach().clone() for name, weight in self._weights.items()}
            return
        names = {weight: name for name, weight in self._weights.items()}
        for weights in layouts(self._weights.values()):
            means = [self._means[names[weight]] for weight in weights]
            torch._foreach_lerp_(means, weights, share)
        if step == plan.steps:
            self.put_in_place()

    @torch.no_grad()
    def put_in_place(self) -> None:
        """Put the mean in the place of the weights, where there is one."""
        for name, mean in self._means.items():  # all at once is unknown to tensors in parts
            self._weights[name].copy_(mean)

    def _share(self, step: int, plan: StepPlan) -> float | None:
        """Return how much of the mean is what the weights are now; None where nothing is averaged."""
        if self._decay:  # less in early steps, so that the first weights do not stay in the mean for long
            return 1.0 - min(self._decay, step / (step + 10))
        first = plan.reaches(plan.first - int(self._tail * plan.first) + 1)
        return None if step < first else 1.0 / (step - first + 1)

    def tensors(self) -> dict[str, Tensor]:
        """Return the state as named tensors."""
        return {name + SUFFIX: mean for name, mean in self._means.items()}

    def load_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Restore what `tensors` returned, into fresh memory."""
        parts = {name.removesuffix(SUFFIX): value for name, value in tensors.items()}
        self._means = {name: part_like(value, self._weights[name]).clone() for name, value in parts.items()}
