"""Probe labels of tokens, by hand."""

from __future__ import annotations

from scratchlm.lab.shared.probe_labels import NAMES, early, label_tokens, quotation, speaks_of_her, token_types
from scratchlm.lab.shared.probes import centre


def test_speech_opens_and_closes_and_ends_with_its_paragraph() -> None:
    assert quotation('a "b" c').tolist() == [0, 0, 1, 1, 0, 0, 0]
    assert quotation('"ab\n\ncd').tolist() == [1, 1, 1, 1, 0, 0, 0]


def test_the_beginning_of_a_sentence_is_five_words() -> None:
    text = "One two three four five six seven. Two."
    found = early(text)
    assert found[: text.index("six")].all()
    assert not found[text.index("six") : text.index("Two")].any()
    assert found[text.index("Two.") :].all()


def test_the_last_pronoun_decides() -> None:
    text = "x he ran. She hers him."
    found = speaks_of_her(text)
    assert found[0] == -1
    assert found[text.index("ran")] == 0
    assert found[text.index(" hers")] == 1
    assert found[-1] == 0


def test_contextual_labels_are_those_of_the_last_character_and_words_have_their_own() -> None:
    pieces = [b"The", b" c", b"at", b" said", b' "', b"Hi", b'"', b" to", b" her", b"."]
    labels = label_tokens(pieces)
    assert set(labels) == set(NAMES)
    assert labels["quotation"].tolist() == [0, 0, 0, 0, 1, 1, 0, 0, 0, 0]
    assert labels["her"].tolist() == [-1] * 8 + [-1, 1]
    assert labels["capital"].tolist() == [1, -1, -1, 0, -1, 1, -1, 0, 0, -1]  # " c" and "at" are parts of a word
    assert labels["function"].tolist() == [1, -1, -1, 0, -1, 0, -1, 1, 1, -1]
    assert label_tokens([b" otter", b" wept", b" smile"])["noun"].tolist() == [1, 0, -1]  # a smile, to smile


def test_the_centre_of_gravity_is_the_layer_that_adds_the_accuracy() -> None:
    assert centre([0.9, 0.9, 0.9]) == 0
    assert centre([0.5, 0.5, 0.9]) == 2
    assert centre([0.6, 0.6, 0.7]) == 1.0  # half of it at layer 0, half at layer 2
    assert centre([0.4, 0.4]) == 0


def test_the_type_of_a_token_is_its_text_without_case_and_spaces() -> None:
    assert token_types({0: b" The", 1: b"the", 2: b".", 3: b"\n\n"}).tolist() == ["the", "the", ".", "\n\n"]
