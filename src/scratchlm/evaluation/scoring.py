"""From what a model said of each item to the scores of a task, with their errors.

A score of choices names how the likelihoods of long and short answers were made comparable: `raw`, their sum over
tokens; `characters`, `bytes` and `tokens`, that sum divided by the answer's length; `unconditional`, less what the
answer is worth without the question (Brown et al. 2020, arXiv 2005.14165, section 2.4).
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
from scratchlm.evaluation.tasks import NUMBER, Item

MARKED = re.compile(r"####\s*(-?\d[\d,]*(?:\.\d+)?)")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


@dataclass(frozen=True)
class Record:
    """What became of one item."""

    id: str
    values: Mapping[str, float]
    """Its part of each score, by name."""
    nats: Sequence[float] = ()
    """Log-likelihood of each answer."""
    asked: str = ""
    """The question of an answer that was written."""
    given: str = ""
    """What the model wrote, or the class it gave."""
    cluster: str = ""
    set: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return plain data without what is empty."""
        return {name: value for name, value in asdict(self).items() if value}


@dataclass(frozen=True)
class Score:
    """A score of a task."""

    value: float
    error: float
    """Standard error, over clusters where items share one."""
    interval: Interval
    """95%."""


@dataclass
class TaskResult:
    """A task's scores, and what they were computed from."""

    name: str
    items: int
    shots: int
    scores: dict[str, Score]
    chance: float | None = None
    """Accuracy of guessing."""
    human: float | None = None
    human_source: str = ""
    shuffled: dict[str, Score] | None = None
    """The same with the words of what is asked in random order: what can be had without reading."""
    contaminated: float | None = None
    """Share of the items that stand in the training text for the most part."""
    convention: str = ""
    """What stands before what is scored, where other programs may put it otherwise."""
    digest: str = ""
    """Hash of the task's files."""
    records: list[Record] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {**asdict(self), "records": [record.as_dict() for record in self.records]}


def choice_record(
    item: Item, found: Sequence[Likelihood], bare: Sequence[Likelihood] | None, names: Sequence[str]
) -> Record:
    """Judge the choice that each normalisation makes; `bare` holds the likelihoods without the question.

    Of n answers that are equally good the right one counts 1/n.
    """
    nats = np.array([each.nats for each in found])
    lengths = {
        "raw": np.ones(len(nats)),
        "characters": np.array([len(answer.removeprefix(" ")) for answer in item.answers]),
        "bytes": np.array([len(answer.removeprefix(" ").encode("utf-8")) for answer in item.answers]),
        "tokens": np.array([each.tokens for each in found]),
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
    return Record(item.id, values, _rounded(nats), cluster=item.cluster, set=item.set)


def word_record(item: Item, found: Likelihood) -> Record:
    """Judge a last word: right where each of its tokens was the likeliest."""
    values = {"accuracy": float(found.greedy), "nats": found.nats}
    return Record(item.id, values, _rounded([found.nats]), cluster=item.cluster, set=item.set)


def answer_record(item: Item, given: str, judged: Literal["text", "number"]) -> Record:
    """Judge what was written: the same text and the same words, or the same number."""
    right = item.answers[item.gold]
    if judged == "number":
        numbers = NUMBER.findall(given)
        marked = MARKED.search(given)
        values = {
            "last number": float(bool(numbers) and _number(numbers[-1]) == _number(right)),
            "marked number": float(marked is not None and _number(marked[1]) == _number(right)),
        }
    else:
        values = {
            "exact": float(given.strip() == right.strip()),
            "same words": float(plain_words(given) == plain_words(right)),
        }
    return Record(item.id, values, asked=item.prompt, given=given, cluster=item.cluster, set=item.set)


def _number(text: str) -> float:
    return float(text.replace(",", ""))


def plain_words(text: str) -> list[str]:
    """Return the words of a text without case and punctuation."""
    return text.casefold().translate(_PUNCTUATION).split()


def _rounded(nats: Sequence[float] | np.ndarray) -> list[float]:
    return [round(float(value), 6) for value in nats]


def scores_of(records: Sequence[Record]) -> dict[str, Score]:
    """Return the scores of records: a mean over items, or over the means of sets where there are several.

    Sets are taken as given: their choice adds no error.
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
    """Return e to a power, infinite where that is beyond all numbers."""
    return math.exp(value) if value < 709 else math.inf


def mean_over_sets(records: Sequence[Record], values: Sequence[float]) -> tuple[float, float]:
    """Return the mean of the sets' means of a value of each record, and its error over clusters within sets.

    Where a set has a single item or cluster, which tells nothing of its own error, the error is that of all together.
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


def _clusters(records: Sequence[Record]) -> list[str] | None:
    """Return what records share, or None where all stand for themselves."""
    if not any(record.cluster for record in records):
        return None
    return [record.cluster or f"item {record.id}" for record in records]
