"""Rule-based translation: correct inside the fragment, word for word outside it."""

from __future__ import annotations

import pytest

from scratchlm.classic.phrasebook import IRREGULAR, PERSONS, conjugated, translate


@pytest.mark.parametrize(
    ("english", "german"),
    [
        ("I'm tired.", "Ich bin müde."),
        ("Tom is not here.", "Tom ist nicht hier."),
        ("Are you hungry?", "Bist du hungrig?"),
        ("I have a dog.", "Ich habe einen Hund."),
        ("She has a cat.", "Sie hat eine Katze."),
        ("He is a teacher.", "Er ist ein Lehrer."),
        ("The dog sees me.", "Der Hund sieht mich."),
        ("Do you speak French?", "Sprichst du Französisch?"),
        ("I don't know him.", "Ich weiß ihn nicht."),  # a known error: the lexicon has one verb where German has two
        ("We can swim.", "Wir können schwimmen."),
        ("Tom can't swim.", "Tom kann nicht schwimmen."),
        ("I will buy the car.", "Ich werde das Auto kaufen."),
        ("She works here.", "Sie arbeitet hier."),
        ("I don't have a plan.", "Ich habe keinen Plan."),
        ("My brother was very sick.", "Mein Bruder war sehr krank."),
        ("They need help.", "Sie brauchen Hilfe."),
    ],
)
def test_sentences_of_the_fragment(english: str, german: str) -> None:
    assert translate(english) == german


def test_outside_the_fragment_words_are_translated_one_by_one_and_unknown_ones_copied() -> None:
    assert translate("Why not now?") == "Warum nicht jetzt?"
    assert translate("Xylophones annoy Tom!") == "Xylophones annoy Tom!"
    assert translate("") == ""


@pytest.mark.parametrize(
    ("verb", "forms"),
    [
        ("spielen", "spiele spielst spielt spielen spielt spielen"),
        ("warten", "warte wartest wartet warten wartet warten"),
        ("tanzen", "tanze tanzt tanzt tanzen tanzt tanzen"),
        ("sein", IRREGULAR["sein"]),
    ],
)
def test_verbs_agree_with_their_subject(verb: str, forms: str) -> None:
    assert " ".join(conjugated(verb, person) for person in PERSONS) == forms
