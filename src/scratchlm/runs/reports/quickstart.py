"""What the report of a quickstart shows beside its result: scores with intervals, a part of the questions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from scratchlm.base.device import machine
from scratchlm.base.statistics import wilson_interval
from scratchlm.runs.reports.page import write_report

if TYPE_CHECKING:
    from scratchlm.runs.quickstart.result import QuickstartResult

SHOWN_QUESTIONS = 60
"""Questions that the report lists; all are in questions.jsonl."""


def write_quickstart_report(out: Path, result: QuickstartResult) -> None:
    """Write `report.html`."""
    of = {split: [a for a in result.questions if a.split == split] for split in ("held-in", "held-out")}
    scores, reading = {}, result.reading
    for split, answers in of.items():
        if answers:
            right, n = result.score(split)
            low, high = wilson_interval(right, n)
            chance = sum(answer.chance for answer in answers) / n
            scores[split] = {"right": right, "n": n, "rate": right / n, "low": low, "high": high, "chance": chance}
    grammar = None
    if reading is not None and reading.sentences:
        grammar = wilson_interval(round(reading.parsed * reading.sentences), reading.sentences)
    write_report(
        out,
        "quickstart.jinja",
        result=result,
        machine=machine(),
        scores=scores,
        grammar=grammar,
        shown=of["held-in"][:SHOWN_QUESTIONS] + of["held-out"][: SHOWN_QUESTIONS // 3],
    )
