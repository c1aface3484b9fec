"""ELIZA: the answers of its script, and its limits."""

from __future__ import annotations

import pytest

from scratchlm.classic.eliza import NOTHING_FITS, Eliza, ElizaRule, turned


def test_first_and_second_person_are_swapped() -> None:
    assert turned("my dog and i") == "your dog and you"
    assert turned("you are afraid of me") == "I am afraid of you"
    # A known limit: it swaps words without parsing the sentence.
    assert turned("i am afraid of you") == "you are afraid of I"


@pytest.mark.parametrize(
    ("said", "answered"),
    [
        ("I need a holiday.", "Why do you need a holiday?"),
        ("Well, I am sad about my job!", "How long have you been sad about your job?"),
        ("I can't sleep", "What keeps you from it?"),
        ("My mother never calls me.", "Tell me more about your mother."),
        ("Are you a machine?", "Would it matter to you if I were a machine?"),
        ("", "Please go on."),
        ("Xyzzy", "Please go on."),
    ],
)
def test_the_best_rule_answers(said: str, answered: str) -> None:
    assert Eliza().respond(said) == answered


def test_answers_alternate_and_conversations_are_reproducible() -> None:
    one = Eliza()
    assert [one.respond("I need tea") for _ in range(3)] == [
        "Why do you need tea?", "What would tea change for you?", "Why do you need tea?"
    ]  # fmt: skip
    assert [one.respond("hm") for _ in range(2)] == list(NOTHING_FITS[:2])
    assert Eliza().respond("I need tea") == "Why do you need tea?"


def test_a_remembered_phrase_is_used_once_when_no_rule_matches() -> None:
    talk = Eliza()
    talk.respond("My brother left")
    assert talk.respond("hm") == "Earlier you spoke of your brother."
    assert talk.respond("hm") == NOTHING_FITS[0]


def test_a_custom_script_is_tried_by_rank() -> None:
    script = [ElizaRule(r"tea(?P<rest>.*)", ["first{0}"]), ElizaRule(r"green tea(?P<rest>.*)", ["second{0}"], 1)]
    assert Eliza(script).respond("I drink green tea daily") == "seconddaily"
    assert Eliza(script).respond("I drink tea") == "first"
