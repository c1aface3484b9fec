"""Answering taught from pretrained or from random weights, each start with the batch and the rate that suit it.

Settings are chosen on the facts of one half of the people and places, and what is published is scored on the other
half: a setting chosen on the questions that score it would look better than it is.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scratchlm import storyworld
from scratchlm.generation.language_model import LanguageModel
from scratchlm.lab.harness.findings import Findings, Row
from scratchlm.lab.harness.settings import StorySettings
from scratchlm.lab.harness.steps import Steps
from scratchlm.lab.shared.fine_tuned import ROWS, answers, fine_tune
from scratchlm.lab.shared.proportions import names
from scratchlm.lab.shared.small_model import SmallModel
from scratchlm.storyworld.quiz import Question
from scratchlm.tours.quickstart.text import QuickstartText

BATCHES = (ROWS, 4 * ROWS)
"""Rows of a batch that are tried."""
STARTS = {"pretrained": "pretrained weights", "random": "random weights"}
LONGEST = 24
"""Most tokens of an answer about a fact."""
REHEARSED = 300
"""Stories that are read again between the conversations, by every model."""


@dataclass(frozen=True)
class BatchAndRate:
    """A batch size, in rows, and learning rates, as a multiple of the usual ones."""

    rows: int
    rate: float


def halves() -> tuple[list[Question], list[Question]]:
    """Return the questions about facts of the stories that choose settings, and those that are scored.

    No training conversation asks any of them. A person or place is in one half alone, the same one for every seed.
    """
    asked = [each for each in storyworld.questions() if each.split == "held-in"]
    subjects = sorted({each.subject for each in asked})
    random.Random("halves").shuffle(subjects)
    choosing = set(subjects[::2])
    return [each for each in asked if each.subject in choosing], [
        each for each in asked if each.subject not in choosing
    ]


def taught(
    small: SmallModel,
    corpus: QuickstartText,
    config: StorySettings,
    start: str,
    setting: BatchAndRate,
    passes: float = 1.0,
) -> LanguageModel:
    """Fine-tune the small model of one start on the conversations, for `passes` times as many epochs as usual."""
    return fine_tune(
        small.random() if start == "random" else small.pretrained(),
        corpus.conversations,
        epochs=passes * config.epochs,
        seed=config.seed,
        documents=corpus.rehearsal[:REHEARSED],
        rows=setting.rows,
        rate=setting.rate,
    )


def tried_settings(
    small: SmallModel, corpus: QuickstartText, config: StorySettings, rates: Sequence[float], steps: Steps
) -> dict[str, list[dict[str, float]]]:
    """Try every batch size and rate from each start, at the first seed; return the fraction of facts answered right."""

    def accuracy(start: str, setting: BatchAndRate) -> float:
        model, facts = taught(small, corpus, config, start, setting), halves()[0]
        replies = answers(model, [each.question for each in facts], LONGEST)
        return sum(names(text, each.value) for text, each in zip(replies, facts, strict=True)) / len(facts)

    tried: dict[str, list[dict[str, float]]] = {}
    for start in STARTS:
        for setting in (BatchAndRate(rows, rate) for rows in BATCHES for rate in rates):
            name = f"tried-{start}-{setting.rows}-{setting.rate:g}"
            right = steps.shared.once(name, accuracy, start, setting)
            tried.setdefault(start, []).append({"rows": setting.rows, "rate": setting.rate, "right": right})
    return tried


def best_setting(tried: Sequence[Mapping[str, Any]], among: Sequence[int] = BATCHES) -> BatchAndRate:
    """Return the setting with the most right answers, of the batch sizes `among`; the first of several."""
    best = max((trial for trial in tried if trial["rows"] in among), key=lambda trial: float(trial["right"]))
    return BatchAndRate(int(best["rows"]), float(best["rate"]))


def report_tried(out: Findings, tried: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Report what was tried from each start, and what it gave."""
    rows: list[Row] = [
        [STARTS[start], f"{trial['rows']}", f"{trial['rate']:g}", f"{trial['right']:.1%}"]
        for start, trials in tried.items()
        for trial in trials
    ]
    facts = len(halves()[0])
    title = f"Settings that were tried at the first seed, on {facts} facts that are not scored"
    out.table(title, ["from", "rows of a batch", "learning rates, times the usual", "names the right value"], rows)
