"""The smoothed loss that a run shows."""

from __future__ import annotations

import re

import pytest

from scratchlm.training.loop import StepRecord
from scratchlm.training.progress import TrainingProgress


def shown_after(losses: list[float], capsys: pytest.CaptureFixture[str]) -> float:
    """Return the loss of the last line that a training with these losses prints."""
    with TrainingProgress("pretrain", len(losses)) as progress:
        for step, loss in enumerate(losses, 1):
            progress.step(StepRecord(step, len(losses), loss, 0.001, 1.0, 100, 0.5))
    line = capsys.readouterr().err.splitlines()[-1]
    assert "200 tokens/s" in line
    return float(re.findall(r"loss ([\d.]+)", line)[0])


@pytest.mark.parametrize("steps", [1, 2, 9, 100])
def test_equal_losses_are_shown_as_they_are(steps: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert shown_after([3.125] * steps, capsys) == 3.125


@pytest.mark.parametrize("steps", [2, 9, 15, 100])
def test_a_falling_loss_is_shown_between_its_last_ten(steps: int, capsys: pytest.CaptureFixture[str]) -> None:
    losses = [12 - step / 10 for step in range(steps)]
    assert losses[-1] < shown_after(losses, capsys) <= losses[-10:][0]
