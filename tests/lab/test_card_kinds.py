"""Every kind of card is run: numbers are computed, outputs printed, bugs fail, and one explanation is right."""

from __future__ import annotations

import ast
import contextlib
import io
import re
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from scratchlm.base.errors import UserError
from scratchlm.lab.quiz.cards import KINDS, Card, built_in, chosen, notes_folder, read_cards
from scratchlm.lab.quiz.numbers import is_close, parse_number

CARDS = built_in()
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)
SECONDS = 2.0
"""Processor time that the code of a card may take."""


def of(kind: str) -> list[Card]:
    return [card for card in CARDS if card.kind == kind]


def named(card: Card) -> str:
    return card.question[:40]


def blocks(text: str, language: str) -> list[str]:
    return [body for name, body in BLOCK.findall(text) if name == language]


def prose(card: Card) -> str:
    """The answer without its code."""
    return BLOCK.sub("", card.answer)


def printed(*sources: str) -> str:
    """Run pieces of code one after the other in one namespace; return what they print. Imports are not timed."""
    names: dict[str, Any] = {}
    imports = [node for node in ast.parse("".join(sources)).body if isinstance(node, ast.Import | ast.ImportFrom)]
    exec(compile(ast.Module(imports, []), "card", "exec"), names)
    began = time.process_time()
    with contextlib.redirect_stdout(io.StringIO()) as out:
        for source in sources:
            exec(compile(source, "card", "exec", dont_inherit=True), names)
    assert time.process_time() - began < SECONDS
    return out.getvalue()


def numbers_in(text: str) -> list[tuple[float, float]]:
    """Return each number of a text, percentages as fractions, with the half of its last digit's unit."""
    found = []
    for sign, whole, decimals, percent in re.findall(r"(?<![\w.])(-?)(\d[\d,]*)(\.\d+)?(%?)", text):
        scale = 0.01 if percent else 1.0
        number = float(f"{sign}{whole.replace(',', '')}{decimals}") * scale
        found.append((number, 0.5 * 10.0 ** -max(len(decimals) - 1, 0) * scale))
    return found


# The kinds together.


def test_at_most_half_of_the_cards_ask_for_recall_and_every_kind_occurs() -> None:
    counts = Counter(card.kind for card in CARDS)
    assert set(counts) == set(KINDS)
    assert min(counts.values()) >= 10
    for chapter, count in Counter(card.chapter for card in CARDS).items():
        assert 20 <= count <= (125 if chapter == "1" else 30), chapter
        assert 2 * sum(card.kind == "recall" for card in CARDS if card.chapter == chapter) <= count, chapter


def test_no_footer_is_longer_than_its_answer() -> None:
    for file in (notes_folder() / "cards").glob("*.md"):
        text = file.read_text(encoding="utf-8")
        found = re.findall(r"</summary>\n(.*?)\n<sub>(.*?)</sub>\n\n</details>", text, re.DOTALL)
        assert len(found) == len(read_cards([file]))
        assert [footer for answer, footer in found if len(footer) > len(answer.strip())] == []


def test_only_cards_with_code_of_their_own_name_it_as_evidence() -> None:
    for card in CARDS:
        if card.shows == "the code above":
            assert card.kind in ("compute", "bug", "predict"), card.place
            assert blocks(card.code if card.kind == "predict" else card.answer, "python"), card.place


@pytest.mark.parametrize(
    "question",
    [
        "What is a large language model?", "How does a language model differ from rules",
        "What is large about a large language model?", "What is a foundation model, and what is a generative one?",
        "What do artificial intelligence, machine learning", "What is a transformer?", "Zero-shot, few-shot",
        "What are overfitting and generalisation?", "What is a hallucination", "Masked or causal training",
        "Why does a low rank suffice in LoRA?",
    ],
)  # fmt: skip
def test_every_basic_question_has_a_card_with_its_terms_in_bold(question: str) -> None:
    (card,) = [each for each in CARDS if each.question.startswith(question)]
    assert card.kind == "recall"
    assert "**" in card.answer


# compute


@pytest.mark.parametrize("card", of("compute"), ids=named)
def test_the_number_of_a_card_is_what_its_code_prints(card: Card) -> None:
    assert card.value is not None
    (source,) = blocks(card.answer, "python")
    result, value = float(printed(source).split()[-1]), parse_number(card.value)
    digits = len(re.sub(r"e.*|[^\d]", "", card.value).lstrip("0"))
    rounding = 0.0 if value == result else 0.5 * 10.0 ** (1 - digits)
    assert is_close(value, result, rounding), f"{card.place}: the code gives {result}"
    assert rounding < card.within, f"{card.place}: state more digits"
    assert f"**{card.value}" in prose(card).replace(",", ""), card.place


# predict


@pytest.mark.parametrize("card", of("predict"), ids=named)
def test_the_output_of_a_card_is_what_its_code_prints(card: Card) -> None:
    (stated,) = blocks(card.answer, "text")
    assert printed(*blocks(card.code, "python")) == stated


# bug


@pytest.mark.parametrize("card", of("bug"), ids=named)
def test_the_check_of_a_card_fails_with_the_bug_and_passes_with_the_repair(card: Card) -> None:
    (wrong,) = blocks(card.code, "python")
    repaired, check = blocks(card.answer, "python")
    with pytest.raises(AssertionError) as failed:
        printed(wrong, check)
    assert str(failed.value), f"{card.place}: the assertion must say what is wrong"
    printed(wrong, repaired, check)
    assert len([line for line in wrong.splitlines() if line.strip()]) <= 10


# choose


@pytest.mark.parametrize("card", of("choose"), ids=named)
def test_a_card_offers_explanations_and_says_of_each_wrong_one_why(card: Card) -> None:
    assert len(card.options) >= 3
    assert card.options == tuple("abcdef"[: len(card.options)])
    assert re.match(rf"\W*\*\*\({card.value}\)\*\*", card.answer), f"{card.place}: begin with the right letter"
    wrong = re.findall(r"^- \*\*\((\w)\)\*\* is wrong: ", card.answer, re.MULTILINE)
    assert sorted([*wrong, card.value or ""]) == list(card.options)


def test_right_explanations_stand_at_different_places() -> None:
    places = Counter(card.value for card in of("choose"))
    assert 2 * max(places.values()) <= places.total()


# Reading.

BUG = """```python
def twice(x):
    return x ** 2
```

<details><summary>Q. Find the <b>bug</b>.</summary>

Multiply.

<sub>kind: bug</sub></details>

```python
print(1)
```

Text between.

<details><summary>Q. How much is 2 + 2?</summary>

**4**

<sub>kind: compute · value: 4 · within: 5%</sub></details>
<details><summary>Q. Why? (a) So. (b) Not so.</summary>

**(b)**

<sub>kind: choose · value: b</sub></details>
"""


def test_code_directly_above_a_card_is_part_of_its_question(tmp_path: Path) -> None:
    file = tmp_path / "notes.md"
    file.write_text(BUG, encoding="utf-8")
    bug, number, choice = read_cards([file])
    assert (bug.kind, bug.code) == ("bug", "```python\ndef twice(x):\n    return x ** 2\n```")
    assert (number.kind, number.value, number.within, number.code) == ("compute", "4", 0.05, "")
    assert (choice.options, choice.asked) == (("a", "b"), "Why?\n(a) So.\n(b) Not so.")
    assert chosen([bug, number, choice], None, None, None, "choose") == [choice]
    with pytest.raises(UserError, match="--kind bugs: did you mean 'bug'"):
        chosen([bug], None, None, None, "bugs")


@pytest.mark.parametrize(
    ("footer", "told"),
    [
        ("kind: computed", "did you mean 'compute'?"),
        ("kind: compute", "names no number; add `value: NUMBER`"),
        ("kind: compute · value: four", "value: 'four' is no number"),
        ("kind: compute · value: 4 · within: much", "within: 'much' is no number"),
        ("kind: choose · value: c", "is none of its explanations: a, b"),
    ],
)
def test_a_card_without_what_its_kind_needs_is_named(tmp_path: Path, footer: str, told: str) -> None:
    file = tmp_path / "notes.md"
    question = "Why? (a) So. (b) Not so."
    file.write_text(f"<details><summary>Q. {question}</summary>\n\nyes\n\n<sub>{footer}</sub></details>", "utf-8")
    with pytest.raises(UserError, match=re.escape(told)):
        read_cards([file])


def test_numbers_are_read_as_people_write_them() -> None:
    written = ("0.25", "1,024", "38,597,376", "3.15e23", "3.15 x 10^23", "2*10**3", "12.5 %", "-4")
    assert [parse_number(text) for text in written] == [0.25, 1024, 38597376, 3.15e23, 3.15e23, 2000, 12.5, -4]
    for text in ("", "about 4", "0,5", "nan", "inf", "1 000"):
        with pytest.raises(UserError, match="is no number; write it as"):
            parse_number(text)
    assert is_close(1.01, 1.0, 0.01)
    assert not is_close(1.02, 1.0, 0.01)
    assert is_close(-99, -100, 0.01)
    assert is_close(0, 0, 0.01)
