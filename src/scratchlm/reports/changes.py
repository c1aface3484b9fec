"""What a fine-tuning changed: a verdict in words with its reason in numbers, and answers before and after, compared."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import NamedTuple

from scratchlm.base.statistics import Interval, standard_error, student_quantile

LEARNED, UNCHANGED, WORSE = "It learned", "It has hardly changed", "It got worse"
LEAST = 0.02
"""Fraction of the loss by which it must fall or rise to count: less is within the noise of a small held-out set."""
FEW_CHANGED = 0.25
"""Fraction of the answers that must differ from before, where they are not measurably closer to the expected ones."""
SHOWN = 3
"""Answers that a report shows first."""


class BeforeAndAfter(NamedTuple):
    """A held-out question, the expected answer, and those before and after."""

    question: str
    expected: str
    before: str
    after: str


@dataclass(frozen=True)
class Verdict:
    """Whether a fine-tuning taught something: the first line of its report."""

    title: str
    reason: str
    advice: str = ""


Piece = tuple[str, bool]
"""Some words, and whether the other answer lacks them."""


@dataclass(frozen=True)
class ComparedAnswers:
    """Answers to one question with their differences."""

    question: str
    expected: str
    before: list[Piece]
    after: list[Piece]


def judge_answers(exchanges: Sequence[BeforeAndAfter], loss_before: float, loss: float, steps: int) -> Verdict:
    """Judge by greedy held-out answers and by the held-out loss, in nats per token.

    It learned if the answers are closer to the expected ones by more than their 95% interval, or if the loss fell and
    a quarter of the answers differ. It got worse if the same holds the other way. Closeness is the fraction of words in
    common (difflib's ratio, 0 to 1), which knows nothing of meaning.
    """
    changed = sum(each.before.strip() != each.after.strip() for each in exchanges)
    gains = [closeness(each.after, each.expected) - closeness(each.before, each.expected) for each in exchanges]
    _, interval = _mean(gains)
    fell, rose = loss < (1 - LEAST) * loss_before, loss > (1 + LEAST) * loss_before
    many = changed >= FEW_CHANGED * len(exchanges)
    moved = "fell" if loss < loss_before else "rose"
    change = f"{loss / loss_before - 1:+.1%}" if loss_before else "from nothing"
    reason = f"{changed} of {len(exchanges)} held-out answers differ from before. "
    reason += f"Held-out loss {moved} from {loss_before:.3f} to {loss:.3f} nats per token ({change})."
    if interval is not None:
        before, after = (_mean([closeness(getattr(each, side), each.expected) for each in exchanges])[0]
                         for side in ("before", "after"))  # fmt: skip
        ends = f"{interval.low:+.0%} to {interval.high:+.0%}"
        reason += f" Of their words, {before:.0%} agreed with the expected answers before, {after:.0%} do now ({ends})."
    closer, further = (False, False) if interval is None else (interval.low > 0, interval.high < 0)
    if (closer and not rose) or (fell and many and not further):
        return Verdict(LEARNED, reason)
    if further or (rose and many):
        fewer = f"Try fewer steps (--steps {max(1, steps // 3)}), a lower learning rate, or more data."
        return Verdict(WORSE, reason, fewer)
    return Verdict(UNCHANGED, reason, f"Try more steps (--steps {3 * steps}), more data, or a higher learning rate.")


def judge_score(what: str, before: float, after: float, interval: Interval, epochs: float) -> Verdict:
    """Judge by a held-out score from 0 to 1, which rises: the 95% interval after must not contain the score before."""
    ends = f"{interval.low:.1%} to {interval.high:.1%}"
    reason = f"{what}: {before:.1%} before, {after:.1%} after (95% interval {ends})."
    if interval.low > before:
        return Verdict(LEARNED, reason)
    if interval.high < before:
        return Verdict(WORSE, reason, "Try a lower learning rate, or fewer epochs.")
    advice = f"The interval contains the score before. Try more epochs (--epochs {3 * epochs:.3g}) or more data."
    return Verdict(UNCHANGED, reason, advice)


def judge_classes(
    accuracy: float, interval: Interval, largest: float, f1: float, linear_f1: float, epochs: float
) -> Verdict:
    """Judge a classifier: its accuracy must lie above the fraction of the largest class, with its whole interval."""
    ends = f"{interval.low:.1%} to {interval.high:.1%}"
    reason = f"Accuracy is {accuracy:.1%} ({ends}); always answering the most frequent label gives {largest:.1%}. "
    reason += f"F1 is {f1:.3f}; a linear model on the same texts reaches {linear_f1:.3f}."
    if interval.low > largest:
        return Verdict(LEARNED, reason)
    advice = f"Try more epochs (--epochs {3 * epochs:.3g}), more labelled texts, or a model pretrained on more text."
    return Verdict("It has hardly learned", reason, advice)


def closeness(text: str, expected: str) -> float:
    """Return how much two texts have in common, in words: 0 for nothing, 1 for equal texts."""
    return SequenceMatcher(None, text.split(), expected.split(), autojunk=False).ratio()


def first_changed(exchanges: Sequence[BeforeAndAfter], most: int = SHOWN) -> list[ComparedAnswers]:
    """Return the first exchanges whose answers differ, filled up with others, differences marked."""
    ordered = sorted(exchanges, key=lambda each: each.before.strip() == each.after.strip())
    return [ComparedAnswers(each.question, each.expected, *marked(each.before, each.after)) for each in ordered[:most]]


def marked(before: str, after: str) -> tuple[list[Piece], list[Piece]]:
    """Return both texts in pieces, each with whether the other text lacks it."""
    one, other = (re.findall(r"\w+|\s+|[^\w\s]", text) for text in (before, after))
    lost: list[Piece] = []
    gained: list[Piece] = []
    for kind, a, b, c, d in SequenceMatcher(None, one, other, autojunk=False).get_opcodes():
        lost.append(("".join(one[a:b]), kind != "equal"))
        gained.append(("".join(other[c:d]), kind != "equal"))
    return _joined(lost), _joined(gained)


def _joined(pieces: Sequence[Piece]) -> list[Piece]:
    """Join neighbours of one kind; a space between two changed words is changed too."""
    full = [piece for piece in pieces if piece[0]]
    joined: list[Piece] = []
    for at, (text, changed) in enumerate(full):
        between = text.isspace() and 0 < at < len(full) - 1 and full[at - 1][1] and full[at + 1][1]
        if joined and joined[-1][1] == (changed or between):
            joined[-1] = (joined[-1][0] + text, joined[-1][1])
        else:
            joined.append((text, changed or between))
    return joined


def _mean(gains: Sequence[float]) -> tuple[float, Interval | None]:
    """Return the mean of paired differences with its interval; none for fewer than two."""
    if len(gains) < 2:
        return (gains[0] if gains else 0.0), None
    mean = math.fsum(gains) / len(gains)
    half = student_quantile(len(gains)) * standard_error(gains)
    return mean, Interval(mean - half, mean + half)
