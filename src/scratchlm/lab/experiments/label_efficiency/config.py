"""What the experiment label-efficiency can be told. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from scratchlm.base.ranges import Count, Epochs, Range, Vocabulary
from scratchlm.lab.harness.settings import ExperimentConfig


@dataclass(frozen=True)
class LabelEfficiencyConfig(ExperimentConfig):
    """F1 at finding spam against the number of labelled messages, for each kind of method."""

    sizes: Annotated[tuple[int, ...], Range(4, 10**9)] = (8, 32, 128, 512)
    """Numbers of labels, besides all of them; give the flag again for another."""
    draws: Annotated[int, Range(2, 10**6)] = 5
    """How often so many labels are drawn."""
    epochs: Epochs = 2.0
    """Times that our model sees the labels, if that is more steps than the least."""
    recurrent_epochs: Epochs = 4.0
    """Times that the recurrent network sees them."""
    least_steps: Count = 48
    """Training steps of a network at least, however few the labels."""
    vocabulary_size: Vocabulary = 4096
    """Tokens of the networks' tokenizer."""
    pretraining_steps: Count = 400
    """Steps in which our model reads books before it sees a message."""

    def _problems(self) -> list[str]:
        problems = super()._problems()
        if list(self.sizes) != sorted(set(self.sizes)) or not self.sizes:
            problems.append(f"--sizes {', '.join(map(str, self.sizes))}: give each once, the smallest first")
        return problems
