"""What a model of few conversations recalls: of its training questions, of their rewordings, and of what it knew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scratchlm.classic.bm25 import BM25
from scratchlm.evaluation.text_metrics import same_words
from scratchlm.finetuning.conversations import Messages, question_of
from scratchlm.finetuning.small import SmallData
from scratchlm.finetuning.supervised import WrittenAnswer

Recalled = Sequence[Sequence[WrittenAnswer]]
"""Answers to what is held out, to the training questions, and to general ones."""


@dataclass(frozen=True)
class Recall:
    """How many answers have the words of the expected ones, and how many general ones are the same as before."""

    questions: int
    """Of the training data, as they stand there."""
    before: int
    after: int
    rewordings: int
    """Of the same questions, in words that training never had."""
    rewordings_before: int
    rewordings_after: int
    bm25: int
    """Rewordings for which BM25 finds the right answer: that of the training question with the most similar words."""
    general: int
    """General questions that were not rehearsed."""
    general_same: int

    def lines(self) -> list[str]:
        """Return what a terminal shows."""
        lines = [f"right as asked in training: {self.after} of {self.questions}; before {self.before}"]
        if self.rewordings:
            lines.append(
                f"right in rewordings that training never had: {self.rewordings_after} of {self.rewordings}; "
                f"before {self.rewordings_before}; by searching the training questions (BM25) {self.bm25}"
            )
        if self.general:
            lines.append(f"general questions answered as before: {self.general_same} of {self.general}")
        return lines


def recall(small: SmallData, before: Recalled, after: Recalled) -> Recall:
    """Count what is right in answers from before and after to what is held out, and to `small.asked`."""
    questions, rewordings = small.asked[0], small.held_out[: small.config.scored]
    right = [(_right(side[1], questions), _right(side[0], rewordings)) for side in (before, after)]
    index = BM25([question_of(each) for each in small.conversations]) if rewordings else None
    nearest = [] if index is None else index.nearest([question_of(each) for each in rewordings])
    retrieved = [WrittenAnswer(small.conversations[number][-1]["content"], True) for number in nearest]
    return Recall(
        questions=len(questions),
        before=right[0][0],
        after=right[1][0],
        rewordings=len(rewordings),
        rewordings_before=right[0][1],
        rewordings_after=right[1][1],
        bm25=_right(retrieved, rewordings),
        general=len(small.apart),
        general_same=sum(one == other for one, other in zip(before[2], after[2], strict=True)),
    )


def _right(answers: Sequence[WrittenAnswer], expected: Sequence[Messages]) -> int:
    return sum(
        same_words(answer.text, messages[-1]["content"]) for answer, messages in zip(answers, expected, strict=False)
    )
