"""Settings of the experiment label-efficiency. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from scratchlm.base.ranges import Count, Epochs, Range, Vocabulary
from scratchlm.lab.harness.settings import ExperimentConfig


@dataclass(frozen=True)
class LabelEfficiencyConfig(ExperimentConfig):
    """Spam detection against the number of labelled messages, for each kind of method."""

    sizes: Annotated[tuple[int, ...], Range(4, 10**9)] = (8, 32, 128, 512)
    """Numbers of labels, besides all of them; repeat the flag for several."""
    draws: Annotated[int, Range(2, 10**6)] = 5
    """Random draws for each number of labels."""
    epochs: Epochs = 2.0
    """Epochs of the small model on the labels, if that is more than the fewest steps."""
    recurrent_epochs: Epochs = 4.0
    """Epochs of the recurrent network on the labels."""
    least_steps: Count = 48
    """Fewest training steps of a network, however few the labels."""
    vocabulary_size: Vocabulary = 4096
    """Vocabulary size of the networks' tokenizer."""
    pretraining_steps: Count = 400
    """Pretraining steps of the small model on books."""

    def _problems(self) -> list[str]:
        problems = super()._problems()
        if list(self.sizes) != sorted(set(self.sizes)) or not self.sizes:
            problems.append(f"--sizes {', '.join(map(str, self.sizes))}: give each once, in ascending order")
        return problems
