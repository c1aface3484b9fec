"""Metrics of written answers against references: exact match, chrF, and the F1 of shared words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from scratchlm.base.statistics import Interval, bootstrap_interval, wilson_interval
from scratchlm.evaluation.scoring import plain_words


@dataclass(frozen=True)
class TextScores:
    """Scores of answers to a set of questions."""

    answers: int
    exact: float
    """Fraction equal to the reference, whitespace aside (exact match)."""
    exact_interval: Interval
    chrf: float
    """Mean of the sentences' chrF, 0 to 100 (Popovic 2015): overlap of character n-grams up to n = 6."""
    chrf_interval: Interval
    stopped: float
    """Fraction of answers that ended with a stop token before the limit."""

    def __str__(self) -> str:
        return (
            f"chrF {self.chrf:.1f} ({self.chrf_interval.low:.1f} to {self.chrf_interval.high:.1f}), exact "
            f"{self.exact:.1%} ({self.exact_interval.low:.1%} to {self.exact_interval.high:.1%}), "
            f"{self.stopped:.0%} end by themselves"
        )


def score_texts(texts: Sequence[str], expected: Sequence[str], stopped: Sequence[bool]) -> TextScores:
    """Score answers against references."""
    from sacrebleu.metrics.chrf import CHRF

    metric = CHRF()
    each = [metric.sentence_score(one, [other]).score for one, other in zip(texts, expected, strict=True)]
    same = sum(one.split() == other.split() for one, other in zip(texts, expected, strict=True))
    return TextScores(
        answers=len(each),
        exact=same / len(each),
        exact_interval=wilson_interval(same, len(each)),
        chrf=sum(each) / len(each),
        chrf_interval=bootstrap_interval(each),
        stopped=sum(stopped) / len(each),
    )


def token_f1(text: str, expected: str) -> float:
    """Return the F1 of the words that an answer shares with the reference, without case, articles and punctuation.

    Source: Rajpurkar et al. 2016, "SQuAD", arXiv 1606.05250, section 6.1.
    """
    said, wanted = normalized_words(text), normalized_words(expected)
    if not said or not wanted:
        return float(said == wanted)
    shared = sum((Counter(said) & Counter(wanted)).values())
    return 2 * shared / (len(said) + len(wanted))


def same_words(text: str, expected: str) -> bool:
    """Return whether an answer has the words of the reference in their order, without case, articles and punctuation.

    Source: exact match of Rajpurkar et al. 2016, "SQuAD", arXiv 1606.05250, section 6.1.
    """
    return normalized_words(text) == normalized_words(expected)


def normalized_words(text: str) -> list[str]:
    """Return the words of a text without case, articles and punctuation."""
    return [word for word in plain_words(text) if word not in ("a", "an", "the")]
