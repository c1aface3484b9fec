"""Tail averaging: the final weights are the mean over the last steps (Izmailov et al. 2018, arXiv 1803.05407)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from scratchlm.training.parts import part_like

SUFFIX = ":average"
"""Marks the averages among a checkpoint's tensors."""


class TailAverage:
    """The running mean of a model's weights over the last `fraction` of a run's steps, whose number must not change."""

    def __init__(self, model: nn.Module, fraction: float) -> None:
        self._weights = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self._share = fraction
        self._means: dict[str, Tensor] = {}

    @torch.no_grad()
    def update(self, step: int, steps: int) -> None:
        """Take note of the weights after `step` of `steps` steps; after the last, put the mean in their place."""
        first = steps - int(self._share * steps) + 1
        if step < first:
            return
        if not self._means:
            self._means = {name: weight.detach().clone() for name, weight in self._weights.items()}
            return
        means = [self._means[name] for name in self._weights]
        weights: list[Tensor] = list(self._weights.values())
        torch._foreach_lerp_(means, weights, 1.0 / (step - first + 1))
        if step == steps:
            torch._foreach_copy_(weights, means)

    def tensors(self) -> dict[str, Tensor]:
        """Return the state as named tensors."""
        return {name + SUFFIX: mean for name, mean in self._means.items()}

    def load_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Restore what `tensors` returned, into fresh memory."""
        parts = {name.removesuffix(SUFFIX): value for name, value in tensors.items()}
        self._means = {name: part_like(value, self._weights[name]).clone() for name, value in parts.items()}
