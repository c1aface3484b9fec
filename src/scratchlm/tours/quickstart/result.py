"""What a quickstart brought: its figures, as data, as the lines that end it, and as a report."""

from __future__ import annotations

import dataclasses
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scratchlm.base.device import machine
from scratchlm.base.result import Result
from scratchlm.base.statistics import wilson_interval
from scratchlm.evaluation.bits import HeldOutLoss
from scratchlm.reports.page import write_report
from scratchlm.tours.quickstart.attention import AnswerAttention
from scratchlm.tours.quickstart.qa_eval import QuizAnswer, Reading

SHOWN_QUESTIONS = 60
"""Questions that the report lists; all are in questions.jsonl."""


@dataclass
class Phase:
    """A stretch of the run with the seconds it was given and the seconds it took."""

    name: str
    predicted: float | None = None
    actual: float = 0.0


@dataclass(repr=False)
class QuickstartResult(Result):
    """What came out."""

    out: str
    source: str
    parameters: int
    held_out: HeldOutLoss
    ngram_bits_per_byte: float
    phases: list[Phase]
    seconds: float
    budget: float
    reading: Reading | None = None
    questions: list[QuizAnswer] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    sample: str = ""
    minutes_to_ngram: int | None = None
    """Minutes that a quickstart is expected to need here to fall below the 5-gram model; None where it is there."""
    attention: AnswerAttention | None = None
    """What the model attended to in one answer."""

    @property
    def shown_questions(self) -> list[QuizAnswer]:
        """Three questions whose answers the text states, from its beginning to its end."""
        held_in = [answer for answer in self.questions if answer.split == "held-in"]
        return held_in[:: max(1, len(held_in) // 3)][:3]

    def look_inside(self, out: str) -> str:
        """Return the command that shows why the model writes what it writes."""
        shown = self.shown_questions
        text, chat = (shown[0].question, " --chat") if shown else (" ".join(self.sample.split()[:4]), "")
        return f"scratchlm inspect {out}/model {shlex.quote(text)}{chat} --page look.html"

    def score(self, split: str) -> tuple[int, int]:
        """Return how many questions of a split were answered exactly, and how many there are."""
        answers = [answer for answer in self.questions if answer.split == split]
        return sum(answer.correct for answer in answers), len(answers)

    def as_dict(self) -> dict[str, Any]:
        """Return the result as plain data; the questions are in questions.jsonl."""
        values = {k: v for k, v in dataclasses.asdict(self).items() if k not in ("questions", "held_out")}
        return {
            "format": 1,
            **values,
            "bits_per_byte": self.held_out.bits_per_byte,
            "loss": self.held_out.loss,
            "held_in": self.score("held-in"),
            "held_out": self.score("held-out"),
        }

    def __rich__(self) -> str:
        lines = [
            self.sample,
            "",
            f"{self.parameters:,} parameters, {self.held_out.bits_per_byte:.3f} bits per byte on held-out text; "
            f"the 5-gram model: {self.ngram_bits_per_byte:.3f}",
        ]
        if self.minutes_to_ngram is not None:
            lines.append(
                f"to fall below the 5-gram model, this machine is expected to need about "
                f"{self.minutes_to_ngram} minutes; --minutes sets them"
            )
        if self.questions:
            lines += [f"asked: {a.question}  answered: {a.given}" for a in self.shown_questions]
            (right, n), (guessed, m) = self.score("held-in"), self.score("held-out")
            line = f"questions about the stories: {right} of {n} answered exactly ({100 * right / max(n, 1):.0f}%)"
            lines.append(line)
            nowhere = f"{guessed} of {m} ({100 * guessed / max(m, 1):.0f}%)"
            lines.append(f"questions whose answer stands nowhere: {nowhere}, by guessing")
        if self.reading is not None:
            reading = self.reading
            lines.append(
                f"of {reading.sentences} sentences it wrote, {100 * reading.parsed:.0f}% are grammatical "
                f"and {100 * reading.copied:.0f}% occur in the training text"
            )
        lines += [f"left out: {reason}" for reason in self.left_out]
        lines.append(
            f"{self.seconds:.0f} s of {self.budget:.0f} s; model in {self.out}/model, report in {self.out}/report.html"
        )
        lines.append(f"look inside: {self.look_inside(self.out)}")
        return "\n".join(lines)


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
