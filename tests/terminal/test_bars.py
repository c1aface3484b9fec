"""Progress on terminals of several widths: a bar stays on its line."""

from __future__ import annotations

import pytest

from marks import slow
from terminal.pseudo import Terminal

TRAINING = """
import time
from scratchlm.training.loop import StepRecord
from scratchlm.training.progress import TrainingProgress
with TrainingProgress({title!r}, {steps}, flops_per_token=1e6, peak=1e11) as progress:
    for step in range(1, {steps} + 1, {steps} // 20):
        progress.step(StepRecord(step, {steps}, 4.5, 1e-3, 1.0, 1000, 0.05))
    time.sleep(0.6)  # two drawings
    progress.note("held-out", {steps}, {{"loss": 3.25, "sample": "once upon a time " * 4}})
"""
COUNTED = """
import time
from scratchlm.base.progress import CountedProgress
with CountedProgress("evaluate", 1000, "windows") as progress:
    time.sleep(2.5)  # it shows nothing before two seconds
    for done in range(0, 1000, 50):
        progress.reached(done)
        time.sleep(0.05)
    time.sleep(2)
print("done")
"""


@pytest.mark.parametrize(
    ("title", "steps", "columns"),
    [
        ("pretrain", 400, 120),
        *(slow("pretrain", 400, columns) for columns in (80, 60, 40)),
        ("pretrain", 400, 20),
        *(slow("finetune instruct", 123_400, columns) for columns in (120, 60, 20)),
        *(("finetune instruct", 123_400, columns) for columns in (80, 40)),
    ],
)
def test_a_training_stays_on_one_line_and_its_note_breaks_between_words(title: str, steps: int, columns: int) -> None:
    with Terminal(code=TRAINING.format(title=title, steps=steps), columns=columns) as terminal:
        assert terminal.end() == 0
        lines = terminal.screen.texts
    *note, bar = lines
    assert "/" in bar
    assert not any("/" in line or "left" in line for line in note), lines
    assert " ".join(note).split() == f"held-out at step {steps}: loss 3.25 sample {'once upon a time ' * 4}".split()
    if columns >= 40:
        assert f"/{steps}, loss 4.500" in bar
        assert bar.endswith(" left")
        assert "…" not in bar
    assert ("% of peak" in bar) == (columns == 120)


@pytest.mark.parametrize("columns", [slow(80), 40])
def test_counted_work_stays_on_one_line(columns: int) -> None:
    with Terminal(code=COUNTED, columns=columns) as terminal:
        terminal.wait_for("950 of 1,000 windows" if columns == 80 else "950")
        written = terminal.screen.texts
        assert terminal.end() == 0
    assert len(written) == 1, written
    assert written[0].startswith("evaluate: 950")
    assert terminal.screen.texts == ["done"]
