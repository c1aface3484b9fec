"""Scores of a task, with standard errors, from the likelihoods or written answers of its items.

The name of a multiple-choice score says how the log-likelihoods of long and short answers were normalised: `raw`, the
sum over tokens; `characters`, `bytes` and `tokens`, that sum divided by the answer's length; `unconditional`, minus the
log-likelihood of the answer without the question (Brown et al. 2020, arXiv 2005.14165, section 2.4).
"""

from __future__ import annotations

import math
import re
import string
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

from scratchlm.base.statistics import Interval, standard_error, wilson_interval
from scratchlm.evaluation.likelihood import Likelihood
from scratchlm.evaluation.tasks import NUMBER, TaskItem

MARKED = re.compile(r"####\s*(-?\d[\d,]*(?:\.\d+)?)")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


@dataclass(frozen=True)
class ItemRecord:
    """The results of one item."""

    id: str
    values: Mapping[str, float]
    """The item's value of each score, by name."""
    nats: Sequence[float] = ()
    """Log-likelihood of each answer."""
    asked: str = ""
    """The prompt of a written answer."""
    given: str = ""
    """The answer that the model wrote, or the class it predicted."""
    cluster: str = ""
    set: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return plain data without empty fields."""
        return {name: value for name, value in asdict(self).items() if value}


@dataclass(frozen=True)
class Score:
    """A score of a task."""

    value: float
    error: float
    """Standard error, clustered where items share a cluster."""
    interval: Interval
    """95% confidence interval."""


@dataclass
class TaskResult:
    """A task's scores, and the records that they were computed from."""

    name: str
    items: int
    """Items that were scored."""
    shots: int
    scores: dict[str, Score]
    chance: float | None = None
    """Accuracy of random guessing."""
    human: float | None = None
    human_source: str = ""
    shuffled: dict[str, Score] | None = None
    """The scores with the words of each question in random order: a baseline without word order."""
    contaminated: float | None = None
    """Fraction of the items that occur mostly in the training text."""
    convention: str = ""
    """The text before a scored sentence, where other programs have other conventions."""
    start: str = ""
    """The token that answers without a prompt follow; empty where all have prompts."""
    digest: str = ""
    """Hash of the task's files."""
    drawn: int = 0
    """Items that were to be scored; more than `items` where the work was stopped."""
    records: list[ItemRecord] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {**asdict(self), "records": [record.as_dict() for record in self.records]}


def choice_record(
    item: TaskItem, likelihoods: Sequence[Likelihood], bare: Sequence[Likelihood] | None, names: Sequence[str]
) -> ItemRecord:
    """Score the choice under each normalisation; `bare` holds the likelihoods without the question.

    A tie of n answers scores 1/n where the right one is among them.
    """
    nats = np.array([each.nats for each in likelihoods])
    lengths = {
        "raw": np.ones(len(nats)),
        "characters": np.array([len(answer.removeprefix(" ")) for answer in item.answers]),
        "bytes": np.array([len(answer.removeprefix(" ").encode("utf-8")) for answer in item.answers]),
        "tokens": np.array([each.tokens for each in likelihoods]),
    }
    values = {}
    for name in names:
        if name == "unconditional":
            assert bare is not None
            worth = nats - np.array([each.nats for each in bare])
        else:
            worth = nats / lengths[name]
        best = worth == worth.max()
        values[f"accuracy ({name})"] = float(best[item.gold]) / int(best.sum())
    return ItemRecord(item.id, values, _rounded(nats), cluster=item.cluster, set=item.set)


def word_record(item: TaskItem, likelihood: Likelihood) -> ItemRecord:
    """Score a last word: right where each of its tokens is the argmax."""
    values = {"accuracy": float(likelihood.greedy), "nats": likelihood.nats}
    return ItemRecord(item.id, values, _rounded([likelihood.nats]), cluster=item.cluster, set=item.set)


def answer_record(item: TaskItem, answer: str, judged: Literal["text", "number"]) -> ItemRecord:
    """Score a written answer: the same text and the same words, or the same number."""
    right = item.answers[item.gold]
    if judged == "number":
        numbers = NUMBER.findall(answer)
        marked = MARKED.search(answer)
        values = {
            "last number": float(bool(numbers) and _number(numbers[-1]) == _number(right)),
            "marked number": float(marked is not None and _number(marked[1]) == _number(right)),
        }
    else:
        values = {
            "exact": float(answer.strip() == right.strip()),
            "same words": float(plain_words(answer) == plain_words(right)),
        }
    return ItemRecord(item.id, values, asked=item.prompt, given=answer, cluster=item.cluster, set=item.set)


def _number(text: str) -> float:
    return float(text.replace(",", ""))


def plain_words(text: str) -> list[str]:
    """Return the words of a text, case-folded and without punctuation."""
    return text.casefold().translate(_PUNCTUATION).split()


def _rounded(nats: Sequence[float] | np.ndarray) -> list[float]:
    return [round(float(value), 6) for value in nats]


def scores_of(records: Sequence[ItemRecord]) -> dict[str, Score]:
    """Return the scores of records: a mean over items, or over the means of sets where there are several.

    Sets are fixed, not sampled: their choice adds no error.
    """
    scores = {}
    for name in records[0].values:
        values = [record.values[name] for record in records]
        value, error = mean_over_sets(records, values)
        score = Score(value, error, Interval(value - 1.96 * error, value + 1.96 * error))
        plain = not any(record.set or record.cluster for record in records)
        if plain and all(each in (0.0, 1.0) for each in values):
            score = Score(value, error, wilson_interval(round(sum(values)), len(values)))
        if name == "nats":
            low, high = (_exp(-end) for end in reversed(score.interval))
            scores["perplexity"] = Score(_exp(-value), _exp(-value) * error, Interval(low, high))
        else:
            scores[name] = score
    return scores


def _exp(value: float) -> float:
    """Return e to a power, infinity where that overflows."""
    return math.exp(value) if value < 709 else math.inf


def mean_over_sets(records: Sequence[ItemRecord], values: Sequence[float]) -> tuple[float, float]:
    """Return the mean of the sets' means of a value of each record, and its standard error, clustered within sets.

    A set with a single item or cluster has no standard error of its own; then the error is that of all items together.
    """
    sets: dict[str, list[int]] = {}
    for index, record in enumerate(records):
        sets.setdefault(record.set, []).append(index)
    means, errors = [], []
    for places in sets.values():
        part = [values[index] for index in places]
        means.append(sum(part) / len(part))
        errors.append(standard_error(part, _clusters([records[index] for index in places])))
    error = math.sqrt(sum(each**2 for each in errors)) / len(errors)
    if len(sets) > 1 and not math.isfinite(error):
        error = standard_error(values, _clusters(records))
    return sum(means) / len(means), error


def _clusters(records: Sequence[ItemRecord]) -> list[str] | None:
    """Return the cluster of each record, or None where all are independent."""
    if not any(record.cluster for record in records):
        return None
    return [record.cluster or f"item {record.id}" for record in records]
