"""Grammars that take all time or memory are errors on one line, and what comes after them is compiled."""

from __future__ import annotations

import os
import threading
import time

import pytest

from marks import slow
from scratchlm.base.errors import UserError
from scratchlm.generation import grammar_trial
from scratchlm.generation.grammar import Grammars
from scratchlm.generation.grammar_trial import GrammarTrial
from toys import byte_tokenizer

ENDLESS = {"type": "integer", "multipleOf": 62615533}


@pytest.fixture
def grammars() -> Grammars:
    tokenizer = byte_tokenizer()
    return Grammars(tokenizer, tokenizer.vocabulary_size)


@pytest.mark.skipif(os.name != "posix", reason="limits time and memory by POSIX")
@pytest.mark.parametrize(
    ("limit", "value", "says"),
    [
        ("SECONDS", 0.3, "takes over 0.3 s of computing"),
        ("PATIENCE", 1.5, "takes over 1.5 s"),
        slow("MEMORY", 200 << 20, "needs over 200 MiB of memory"),
    ],
)
def test_a_grammar_past_a_limit_is_an_error_that_names_it_and_the_next_one_is_compiled(
    grammars: Grammars, monkeypatch: pytest.MonkeyPatch, limit: str, value: float, says: str
) -> None:
    monkeypatch.setattr(grammar_trial, "SECONDS", 100.0)
    grammars.regex("a") if limit == "PATIENCE" else None  # the start of a process counts too
    monkeypatch.setattr(grammar_trial, limit, value)
    with pytest.raises(UserError, match=f"^JSON schema: {says} to be compiled, .*; use a simpler one") as caught:
        grammars.json_schema(ENDLESS)
    assert "\n" not in str(caught.value)
    monkeypatch.undo()
    assert grammars.json_schema({"type": "integer", "multipleOf": 97})


def test_a_trial_is_cancelled_from_another_thread(grammars: Grammars, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grammar_trial, "SECONDS", 100.0)
    trial, errors = GrammarTrial(), list[Exception]()

    def compile_endless() -> None:
        try:
            grammars.json_schema(ENDLESS, trial)
        except UserError as error:
            errors.append(error)

    thread = threading.Thread(target=compile_endless)
    thread.start()
    while trial._process is None:
        time.sleep(0.01)
    trial.cancel()
    thread.join(60)
    assert not thread.is_alive()
    assert len(errors) == 1
    with pytest.raises(UserError, match="nobody waits"):
        grammars.regex("a", trial)


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        ("ab[0-9", "unclosed character class, at character 3: [0-9"),
        ("x" * 5000 + "(", "unclosed group, at character 5001: ("),
        ("(?=a)b", "look-around, including look-ahead and look-behind, is not supported, at character 1: (?=a)b"),
        ("a{3,1}", "invalid repetition count range, the start must be <= the end, at character 2: {3,1}"),
    ],
    ids=["class", "long", "look-ahead", "range"],
)
def test_the_whole_reason_against_an_expression_stands_on_one_line(grammars: Grammars, pattern: str, says: str) -> None:
    with pytest.raises(UserError) as caught:
        grammars.regex(pattern)
    assert str(caught.value) == f"regular expression: {says}; correct or simplify it"
    with pytest.raises(UserError) as caught:
        grammars.json_schema({"type": "string", "pattern": pattern})
    assert str(caught.value) == f"JSON schema: {says}; correct or simplify it"
