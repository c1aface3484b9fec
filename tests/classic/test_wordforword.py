"""Word-for-word translation: German nouns keep their capital, punctuation keeps its place."""

from __future__ import annotations

import pytest

from scratchlm.base.errors import UserError
from scratchlm.classic.wordforword import WordForWord, most_frequent_cases

PAIRS = [
    ("The dog sees Tom.", "Der Hund sieht Tom."),
    ("I see the dog.", "Ich sehe den Hund."),
    ("I see the cat!", "Ich sehe die Katze!"),
    ("The dog runs.", "Der Hund läuft."),
    ("I run.", "Ich laufe."),
    ("Tom!", "Tom!"),
    ("Tom sees.", "Tom sieht."),
]


def test_a_word_is_written_in_its_most_frequent_case_within_sentences() -> None:
    assert most_frequent_cases(["Der Hund", "ein Hund", "Ein hund", "Tom und ich", "Ich"]) == {"hund": "Hund"}
    assert most_frequent_cases(["Sieh Tom"]) == {"tom": "Tom"}
    assert most_frequent_cases(["so Ich", "so ich"]) == {}  # as often: in lower case


@pytest.mark.parametrize("place_rounds", [0, 5])
def test_nouns_keep_their_capital_and_punctuation_its_place(place_rounds: int) -> None:
    model = WordForWord(PAIRS, 20, place_rounds)
    assert model.translate("I see Tom.") == "Ich sehe Tom."
    assert "Hund" in model.translate("The dog runs!")
    assert model.translate("The dog runs!").endswith("!")
    assert model.translate("") == ""
    assert "zebra" in model.translate("I see the zebra.").lower()  # unknown words stay


def test_positions_need_memory_and_training_without_data_is_refused() -> None:
    assert WordForWord(PAIRS, 5, 5).size() > WordForWord(PAIRS, 5).size() > 0
    with pytest.raises(UserError, match="none has words on both sides"):
        WordForWord([("", "x")])
