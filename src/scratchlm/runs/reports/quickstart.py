"""What the report of a quickstart shows beside its result: scores with intervals, a part of the questions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from scratchlm.base.device import machine
from scratchlm.base.statistics import Interval, wilson_interval
from scratchlm.runs.reports.page import write_report

if TYPE_CHECKING:
    from scratchlm.runs.quickstart.qa_eval import Reading
    from scratchlm.runs.quickstart.result import QuickstartResult

SHOWN_QUESTIONS = 60
"""Questions that the report lists; all are in questions.jsonl."""


def write_quickstart_report(out: Path, result: QuickstartResult) -> None:
    """Write `report.html`."""
    of = {split: [a for a in result.questions if a.split == split] for split in ("held-in", "held-out")}
    write_report(
        out,
        "quickstart.jinja",
        result=result,
        machine=machine(),
        scores={split: _score(result, split) for split, answers in of.items() if answers},
        grammar=_grammar(result.reading),
        shown=of["held-in"][:SHOWN_QUESTIONS] + of["held-out"][: SHOWN_QUESTIONS // 3],
    )


def _grammar(reading: Reading | None) -> Interval | None:
    """Return the interval of the rate of grammatical sentences."""
    if reading is None or not reading.sentences:
        return None
    return wilson_interval(round(reading.parsed * reading.sentences), reading.sentences)


def _score(result: QuickstartResult, split: str) -> dict[str, Any]:
    """Return right answers of a split, with the interval of their rate and the rate of guessing."""
    right, n = result.score(split)
    low, high = wilson_interval(right, n)
    chance = sum(answer.chance for answer in result.questions if answer.split == split) / n
    return {"right": right, "n": n, "rate": right / n, "low": low, "high": high, "chance": chance}
