"""LLM as a judge: another model says which of two written answers is better, asked in both orders.

A judge with a position bias contradicts itself when the order is reversed; such pairs count as ties.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from scratchlm.base.endpoint import Endpoint
from scratchlm.base.errors import UserError
from scratchlm.base.statistics import wilson_interval
from scratchlm.evaluation.results import TasksResult, pairs_of

Verdict = Literal["first", "second", "tie"]

INSTRUCTION = (
    "Two answers to one question follow. Judge which is better: right first, then helpful, then brief. Do not let "
    "length or order sway you. Say a single letter: A, B, or T if neither is better."
)
_LETTER = re.compile(r"^\W*(?:Answer:?\s+)?([ABT])(?:\W|$)(?! tie)", re.IGNORECASE)


@dataclass(frozen=True)
class Judged:
    """The verdicts of a judge over all pairs."""

    pairs: int
    first: int
    """Pairs whose first answer was preferred in both orders."""
    second: int
    ties: int
    swayed: int
    """Ties in which the judge named the same position both times (position bias)."""
    unread: int
    """Ties in which at least one reply was none of A, B and T."""
    summary: str


def judge_pair(judge: Endpoint, question: str, first: str, second: str) -> tuple[Verdict, bool, bool]:
    """Ask in both orders; return verdict, whether the judge repeated a position, whether a reply was unreadable.

    Raises `UserError` where the judge cannot be reached.
    """
    forth, back = _letter(judge, question, first, second), _letter(judge, question, second, first)
    if (forth, back) == ("A", "B"):
        return "first", False, False
    if (forth, back) == ("B", "A"):
        return "second", False, False
    return "tie", forth == back and forth in ("A", "B"), "" in (forth, back)


def _letter(judge: Endpoint, question: str, a: str, b: str) -> str:
    """Return the letter of the judge's reply, or "" where it has none."""
    asked = f"Question:\n{question}\n\nAnswer A:\n{a}\n\nAnswer B:\n{b}"
    said = judge.ask([{"role": "system", "content": INSTRUCTION}, {"role": "user", "content": asked}], max_tokens=8)
    match = _LETTER.match(said)
    return "" if match is None else match[1].upper()


def judge_pairs(judge: Endpoint, pairs: Sequence[tuple[str, str, str]]) -> Judged:
    """Judge triples of question, first answer and second answer; equal answers are ties and are not sent."""
    verdicts: list[tuple[Verdict, bool, bool]] = [
        ("tie", False, False) if one == other else judge_pair(judge, question, one, other)
        for question, one, other in pairs
    ]
    counts = {who: sum(verdict == who for verdict, _, _ in verdicts) for who in ("first", "second", "tie")}
    decided = counts["first"] + counts["second"]
    outcome = "nothing was decided"
    if decided:
        low, high = wilson_interval(counts["second"], decided)
        fraction = counts["second"] / decided
        outcome = f"the second is preferred in {fraction:.0%} of {decided:,} ({low:.0%} to {high:.0%})"
    swayed, unread = sum(kept for _, kept, _ in verdicts), sum(silent for _, _, silent in verdicts)
    sentence = f"judged: {outcome}; {counts['tie']:,} ties, in {swayed:,} of them the judge repeated a position"
    sentence += f", in {unread:,} it gave no letter" if unread else ""
    return Judged(len(pairs), counts["first"], counts["second"], counts["tie"], swayed, unread, sentence)


def judge_results(first: TasksResult, second: TasksResult, judge: Endpoint) -> dict[str, Any]:
    """Judge the written answers of two results; raises `UserError` where they have none to the same questions."""
    pairs = [
        (one.asked, one.given, other.given)
        for task, twin in pairs_of(first, second)
        for one, other in zip(task.records, twin.records, strict=True)
        if one.asked
    ]
    if not pairs:
        raise UserError("--judge: the results have no written answers to the same questions; evaluate gsm8k or answers")
    return asdict(judge_pairs(judge, pairs))
