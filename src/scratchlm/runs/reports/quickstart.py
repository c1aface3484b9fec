"""The report of a quickstart: every number with a sentence that says what it means."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from scratchlm.base.device import machine
from scratchlm.base.statistics import wilson_interval
from scratchlm.runs.reports.run import Page, add_training

if TYPE_CHECKING:
    from scratchlm.runs.quickstart.result import QuickstartResult

SHOWN_QUESTIONS = 60
"""Questions that the report lists; all are in questions.jsonl."""


def write_quickstart_report(out: Path, result: QuickstartResult, records: list[dict[str, Any]]) -> None:
    """Write `report.html`."""
    page = Page("scratchlm quickstart")
    about = machine()
    page.text(
        f"A language model of {result.parameters:,} parameters, trained from random weights on {result.source} in "
        f"{result.seconds:.0f} of {result.budget:.0f} seconds on {about['processor']} with {about['cores']} cores."
    )
    page.sample("A text it wrote, from nothing but the beginning of a document", result.sample)
    _numbers(page, result)
    add_training(page, records)
    if result.questions:
        _questions(page, result)
    page.heading("Time")
    page.text(
        "A short probe chose the size of the model. Each training took as many steps as fitted its part of the budget, "
        "and what came after had deadlines."
    )
    rows = [[p.name, "" if p.predicted is None else f"{p.predicted:.1f} s", f"{p.actual:.1f} s"] for p in result.phases]
    page.table(["phase", "predicted", "actual"], rows)
    for reason in result.left_out:
        page.text(f"Left out: {reason}.")
    page.write(out / "report.html")


def _numbers(page: Page, result: QuickstartResult) -> None:
    held_out = result.held_out
    page.heading("What it learned")
    page.text(
        f"Bits per byte: {held_out.bits_per_byte:.3f}. To write down text it has never seen, the model needs this many "
        f"bits a byte; without any model a byte takes 8. Measured on {held_out.text_bytes:,} bytes, every token "
        "predicted once."
    )
    better = "less" if held_out.bits_per_byte < result.ngram_bits_per_byte else "no less"
    page.text(
        f"The 5-gram model: {result.ngram_bits_per_byte:.3f} bits per byte. Counting which token followed which four "
        f"(Kneser-Ney) on the same text is the best of the methods before neural networks; the model needs {better}."
    )
    if result.minutes_to_ngram is not None:
        page.text(
            f"By the law of loss this machine needs about {result.minutes_to_ngram} minutes for the model to need "
            "less; --minutes sets them."
        )
    if result.reading is not None:
        reading = result.reading
        page.text(
            f"Grammar: {100 * reading.parsed:.0f}% of {reading.sentences} sentences it wrote fit the grammar of "
            f"its training text, and {100 * reading.copied:.0f}% stand there word for word. The rest is new."
        )
        for sentence in reading.strange:
            page.sample("a sentence that the grammar does not accept", sentence)


def _questions(page: Page, result: QuickstartResult) -> None:
    page.heading("Questions and answers")
    explained = {
        "held-in": "The fact stands in the stories, but no conversation it was taught with asks for it: knowledge.",
        "held-out": "The fact stands nowhere, so that a right answer is a lucky guess: about chance.",
    }
    for split, meaning in explained.items():
        right, n = result.score(split)
        if not n:
            continue
        low, high = wilson_interval(right, n)
        chance = sum(a.chance for a in result.questions if a.split == split) / n
        page.text(
            f"{split}: {right} of {n} answered exactly, {100 * right / n:.0f}% (95% interval {100 * low:.0f} to "
            f"{100 * high:.0f}%; guessing the commonest answer of each kind: {100 * chance:.0f}%). {meaning}"
        )
    held_in = [a for a in result.questions if a.split == "held-in"][:SHOWN_QUESTIONS]
    shown = held_in + [a for a in result.questions if a.split == "held-out"][: SHOWN_QUESTIONS // 3]
    page.table(
        ["split", "question", "expected", "given"],
        [[a.split, a.question, a.expected, a.given] for a in shown],
        [a.correct for a in shown],
    )
