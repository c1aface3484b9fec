"""Marks of tokens, by hand."""

from __future__ import annotations

import numpy as np

from scratchlm.lab.experiments.features.measure import balanced, centre
from scratchlm.lab.shared.probe_labels import NAMES, early, marks_of, quotation, speaks_of_her


def test_speech_opens_and_closes_and_ends_with_its_paragraph() -> None:
    assert quotation('a "b" c').tolist() == [0, 0, 1, 1, 0, 0, 0]
    assert quotation('"ab\n\ncd').tolist() == [1, 1, 1, 1, 0, 0, 0]


def test_a_sentence_is_early_for_five_words() -> None:
    text = "One two three four five six seven. Two."
    found = early(text)
    assert found[: text.index("six")].all()
    assert not found[text.index("six") : text.index("Two")].any()
    assert found[text.index("Two.") :].all()


def test_the_last_he_or_she_is_remembered() -> None:
    text = "x he ran. She hers him."
    found = speaks_of_her(text)
    assert found[0] == -1
    assert found[text.index("ran")] == 0
    assert found[text.index(" hers")] == 1
    assert found[-1] == 0


def test_tokens_get_the_marks_of_their_last_character_and_words_their_own() -> None:
    pieces = [b"The", b" c", b"at", b" said", b' "', b"Hi", b'"', b" to", b" her", b"."]
    marks = marks_of(pieces)
    assert set(marks) == set(NAMES)
    assert marks["quotation"].tolist() == [0, 0, 0, 0, 1, 1, 0, 0, 0, 0]
    assert marks["her"].tolist() == [-1] * 8 + [-1, 1]
    assert marks["capital"].tolist() == [1, -1, -1, 0, -1, 1, -1, 0, 0, -1]  # " c" and "at" are parts of a word
    assert marks["function"].tolist() == [1, -1, -1, 0, -1, 0, -1, 1, 1, -1]
    assert marks_of([b" otter", b" wept", b" smile"])["noun"].tolist() == [1, 0, -1]  # a smile, to smile


def test_the_centre_is_the_layer_at_which_it_comes() -> None:
    assert centre([0.9, 0.9, 0.9]) == 0
    assert centre([0.5, 0.5, 0.9]) == 2
    assert centre([0.6, 0.6, 0.7]) == 1.0  # half of it at layer 0, half at layer 2
    assert centre([0.4, 0.4]) == 0


def test_as_many_of_both_kinds_are_drawn_and_none_unmarked() -> None:
    marks = np.array([1] * 30 + [0] * 12 + [-1] * 50)
    places = balanced(marks, 100, np.random.default_rng(0))
    assert len(places) == 24
    assert marks[places].mean() == 0.5
