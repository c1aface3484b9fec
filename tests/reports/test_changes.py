"""What a fine-tuning changed: the verdict follows from answers and loss, and differences are marked word by word."""

from __future__ import annotations

import random

import pytest

from scratchlm.base.statistics import Interval
from scratchlm.reports.changes import (
    LEARNED,
    UNCHANGED,
    WORSE,
    BeforeAndAfter,
    closeness,
    first_changed,
    judge_answers,
    judge_classes,
    judge_score,
    marked,
)

WORDS = ["the", "fox", "lives", "in", "a", "town", "and", "has", "a", "pet", "crow", "that", "sings", "of", "rivers"]


def answers(changed: int, right_before: int, right_after: int, count: int = 20) -> list[BeforeAndAfter]:
    """Return exchanges of which some answers differ from before, and some are the expected ones before and after."""
    draw, made = random.Random(0), []
    for number in range(count):
        expected, before, other = (" ".join(draw.sample(WORDS, 6)) for _ in range(3))
        before = expected if number < right_before else before
        after = expected if number < right_after else other if number < changed else before
        made.append(BeforeAndAfter(f"question {number}", expected, before, after))
    return made


@pytest.mark.parametrize(
    ("exchanges", "before", "after", "expected"),
    [
        (answers(20, 0, 15), 2.0, 1.0, LEARNED),  # right where it was wrong
        (answers(20, 0, 15), 2.0, 2.0, LEARNED),  # the same, and the loss did not show it
        (answers(20, 0, 0), 2.0, 1.0, LEARNED),  # other words, a lower loss
        (answers(0, 0, 0), 2.0, 1.9, UNCHANGED),  # a lower loss, and not one other answer
        (answers(4, 0, 0), 2.0, 1.9, UNCHANGED),  # few other answers
        (answers(20, 0, 0), 2.0, 1.99, UNCHANGED),  # other answers, no better ones, and the same loss
        (answers(20, 15, 0), 2.0, 2.0, WORSE),  # wrong where it was right
        (answers(20, 0, 0), 2.0, 2.5, WORSE),
        ([], 2.0, 1.0, LEARNED),
        ([], 2.0, 2.0, UNCHANGED),
        (answers(1, 0, 1, count=1), 2.0, 2.0, UNCHANGED),  # one answer has no interval
    ],
)
def test_a_fine_tuning_is_judged_by_its_answers_and_its_loss(
    exchanges: list[BeforeAndAfter], before: float, after: float, expected: str
) -> None:
    assert judge_answers(exchanges, before, after, 30).title == expected


def test_the_reason_is_in_numbers_and_the_advice_says_what_to_change() -> None:
    verdict = judge_answers(answers(4, 0, 0), 2.0, 1.9, 30)
    assert verdict.reason.startswith(
        "4 of 20 held-out answers differ from before. Held-out loss fell from 2.000 to 1.900"
    )
    assert "(-5.0%)" in verdict.reason
    assert "--steps 90" in verdict.advice
    assert judge_answers(answers(20, 0, 15), 2.0, 1.0, 30).advice == ""


def test_a_score_is_judged_by_its_interval() -> None:
    interval = Interval(0.5, 0.7)
    titles = [judge_score("Score", before, 0.6, interval, 1.0).title for before in (0.4, 0.55, 0.8)]
    assert titles == [LEARNED, UNCHANGED, WORSE]
    assert judge_score("Score", 0.4, 0.6, interval, 1.0).reason == (
        "Score: 40.0% before, 60.0% after (95% interval 50.0% to 70.0%)."
    )


def test_a_classifier_must_beat_its_most_frequent_label() -> None:
    assert judge_classes(0.9, Interval(0.88, 0.92), 0.87, 0.8, 0.9, 2.0).title == LEARNED
    verdict = judge_classes(0.9, Interval(0.86, 0.92), 0.87, 0.8, 0.9, 2.0)
    assert (verdict.title, "--epochs 6" in verdict.advice) == ("It has hardly learned", True)
    assert "a linear model on the same texts reaches 0.900" in verdict.reason


def test_differences_are_marked_by_words_and_nothing_is_lost() -> None:
    before, after = marked("Hugo has a pet fox.", "Hugo has a big old crow, and a hat.")
    assert before == [("Hugo has a ", False), ("pet fox", True), (".", False)]
    assert "".join(text for text, _ in after) == "Hugo has a big old crow, and a hat."
    assert after[0] == ("Hugo has a ", False)
    assert marked("same", "same") == ([("same", False)], [("same", False)])
    assert marked("", "new words") == ([], [("new words", True)])


def test_the_answers_that_differ_come_first() -> None:
    made = answers(3, 0, 0)
    shown = first_changed([*made[3:], *made[:3]])
    assert [each.question for each in shown] == ["question 0", "question 1", "question 2"]
    assert len(first_changed(made[:2])) == 2


def test_closeness_counts_words_in_common() -> None:
    assert closeness("a b c d", "a b c d") == 1
    assert closeness("a b", "c d") == 0
    assert closeness("a b c d", "a b x y") == 0.5
