"""Probes, their control tasks, and the labels that the generator of the stories gives."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest

from scratchlm.base.errors import UserError
from scratchlm.lab.harness.outcome import Value
from scratchlm.lab.shared.probes import (
    PARTS,
    SIDES,
    Drawn,
    ProbeText,
    balanced,
    centre_of,
    draw_tokens,
    random_labels,
    score_all,
    score_unseen,
    scored,
    states_at,
    wider,
)
from scratchlm.lab.shared.story_labels import (
    STORY,
    LabelledTeller,
    Word,
    hero_by_rule,
    labelled,
    labelled_stories,
    noun_by_rule,
    noun_label,
    object_by_rule,
    object_label,
    woman_by_rule,
    word_ends,
)
from scratchlm.model.decoder import build_decoder
from scratchlm.model.presets import tiny
from scratchlm.storyworld.teller import Teller
from scratchlm.storyworld.world import build_world

TYPES = 40


def drawn_of(tokens: int = 1200) -> Drawn:
    """Tokens of forty types, the first twenty labelled 0, the others 1."""
    draw = np.random.default_rng(0)
    types = np.array([f"type {number}" for number in range(TYPES)], object)

    def side() -> ProbeText:
        ids = draw.integers(0, TYPES, (tokens // 8, 8))
        flat = ids.ravel()
        labels = {"late": (flat >= TYPES // 2).astype(np.int64)}
        groups = np.repeat(np.arange(len(ids)), 8)
        return ProbeText(ids, groups, labels, {"late": types[flat]}, labels)

    return draw_tokens({name: side() for name in SIDES}, "late", 600, 0)


def vectors(drawn: Drawn, *, told: bool, width: int) -> dict[str, np.ndarray]:
    """A random vector for each type; `told` puts the label into its first number."""
    draw = np.random.default_rng(1)
    table = draw.normal(size=(TYPES, width)).astype(np.float32)
    found = {}
    for side in SIDES:
        numbers = np.array([int(each.split()[1]) for each in drawn.types[side]])
        found[side] = table[numbers].copy()
        if told:
            found[side][:, 0] = 4.0 * drawn.labels[side]
    return found


def test_a_probe_that_learns_types_by_heart_is_right_on_all_types_and_at_chance_on_unseen_ones() -> None:
    drawn = drawn_of()
    by_heart, general = vectors(drawn, told=False, width=64), vectors(drawn, told=True, width=4)
    assert score_all(by_heart, drawn.labels)[0].mean() > 0.95
    assert score_unseen(by_heart, drawn.labels, drawn.parts)[0].mean() < 0.7
    assert score_unseen(general, drawn.labels, drawn.parts)[0].mean() > 0.95


def test_a_table_of_ids_knows_nothing_of_unseen_types() -> None:
    drawn = drawn_of()
    ids = {side: np.array([[int(each.split()[1])] for each in drawn.types[side]]) for side in SIDES}
    assert score_all(ids, drawn.labels)[0].mean() == 1.0
    assert score_unseen(ids, drawn.labels, drawn.parts)[0].mean() == pytest.approx(0.5, abs=0.05)


def test_control_labels_belong_to_types_and_are_the_same_on_each_side() -> None:
    drawn = drawn_of()
    first, again, other = (random_labels(drawn, number) for number in (0, 0, 1))
    of: dict[str, set[int]] = {}
    for side in SIDES:
        assert first[side].tolist() == again[side].tolist()
        for name, label in zip(drawn.types[side].tolist(), first[side].tolist(), strict=True):
            of.setdefault(name, set()).add(label)
    assert all(len(labels) == 1 for labels in of.values())
    assert sum(label for labels in of.values() for label in labels) == len(of) // 2
    assert any((first[side] != other[side]).any() for side in SIDES)


def test_parts_hold_each_type_once_and_both_labels() -> None:
    drawn = drawn_of()
    part: dict[str, set[int]] = {}
    for side in SIDES:
        for name, number in zip(drawn.types[side].tolist(), drawn.parts[side].tolist(), strict=True):
            part.setdefault(name, set()).add(number)
    assert all(len(numbers) == 1 for numbers in part.values())
    for number in range(PARTS):
        assert set(drawn.labels["test"][drawn.parts["test"] == number].tolist()) == {0, 1}


def test_scores_are_balanced_accuracies() -> None:
    labels = np.array([0] * 90 + [1] * 10)
    assert scored(labels == 0, labels).mean() == pytest.approx(0.5)
    assert scored(np.ones(100, bool), labels).mean() == pytest.approx(1.0)
    assert scored(np.ones(3, bool), np.array([1, 1, 1])).mean() == 1.0  # of the only label


def test_the_wider_interval_is_that_of_the_clusters_that_vary_together() -> None:
    score = [1.0] * 50 + [0.0] * 50
    books, types = [0, 1] * 50, [at // 25 for at in range(100)]
    low, high = wider(score, books, types).ends
    assert (low, high) == wider(score, types).ends
    assert high - low > np.diff(wider(score, range(100)).ends)[0]
    assert wider([1.0, 1.0], [0, 1]).ends == (1.0, 1.0)


def test_balanced_draws_as_many_of_both_classes_and_none_unlabelled() -> None:
    labels = np.array([1] * 30 + [0] * 12 + [-1] * 50)
    places = balanced(labels, 100, np.random.default_rng(0))
    assert len(places) == 24
    assert labels[places].mean() == 0.5
    with pytest.raises(UserError, match="fewer than ten times"):
        balanced(labels[25:], 100, np.random.default_rng(0))


def test_states_are_those_of_the_tokens_asked_for() -> None:
    decoder = build_decoder(tiny(64), 0)
    ids = np.arange(20 * 6).reshape(20, 6) % 64
    every = states_at(decoder, ids, np.arange(120))
    some = states_at(decoder, ids, np.array([3, 7, 100, 119]))
    assert [layer.shape for layer in some] == [(4, 64)] * 3
    assert all((a[[3, 7, 100, 119]] == b).all() for a, b in zip(every, some, strict=True))


def test_last_tokens_end_at_the_token_and_stay_in_its_row() -> None:
    ids = np.array([[1, 2, 3], [4, 5, 6]])
    text = ProbeText(ids, np.zeros(6, int), {}, {}, {})
    assert text.last_tokens(np.array([2, 3, 4]), 2).tolist() == [[2, 3], [4, 4], [4, 5]]


def test_a_labelled_teller_tells_what_a_plain_one_tells() -> None:
    plain = Teller(build_world(), 5)
    for story in labelled_stories(10, 5):
        assert story.text == plain.story()
        for key, marks in story.marks.items():
            assert key in STORY
            for mark in marks:
                assert mark.label in (0, 1)
                assert not story.text[mark.end : mark.end + 1].isalpha()


def test_both_labels_of_each_property_occur() -> None:
    found: dict[str, set[int]] = {key: set() for key in STORY}
    for story in labelled_stories(30, 0):
        for key, marks in story.marks.items():
            found[key] |= {mark.label for mark in marks}
    assert all(labels == {0, 1} for labels in found.values())


def test_words_are_found_in_the_finished_text() -> None:
    words = ["<<", "what", "a", "owl", "!", "''", "said", "Mara", ".", "for a while", "she", "'s", "cat", "."]
    text = '"What an owl!" said Mara.\nFor a while she\'s cat.'
    ends = word_ends(text, words)
    assert [text[:end].split()[-1] for end in ends[:4]] == ['"', '"What', "an", "owl"]
    assert [text[end - 3 : end] for end in ends[7:10]] == ["ara", "ra.", "ile"]
    assert ends[-1] == len(text)


def story_of(*words: tuple[str, str]) -> list[Word]:
    return [Word(text, tuple(path.split())) for text, path in words]


def test_the_generator_labels_words_by_their_categories() -> None:
    words = story_of(
        ("Lena", "$A"), ("saw", "Do.pastsg Vt/animal.past"), ("a", "Do.pastsg NP/animal.sg _"),
        ("red", "Do.pastsg NP/animal.sg Nb/animal.sg Adj/color"),
        ("fox", "Do.pastsg NP/animal.sg Nb/animal.sg N/animal.sg"),
        ("near", "Loc PrepLoc/near"), ("the", "Loc _"), ("mill", "Loc Nb/building.sg N/building.sg"), (".", "_"),
        ("she", "$a"), ("met", "_"), ("Tom", "$B"), ("and", "_"), ("his", "$b.p"), ("dog", "$B.pet"), (".", "_"),
    )  # fmt: skip
    text = "Lena saw a red fox near the mill. She met Tom and his dog."
    found = labelled(text, words, {"$A": "Lena", "$A.kind": "woman", "$B": "Tom", "$B.kind": "man"})

    def told(key: str) -> list[tuple[str, int, str]]:
        return [(text[: m.end].split()[-1], m.label, m.type) for m in found.marks[key]]

    assert told("word-noun") == [("saw", 0, "saw"), ("red", 0, "red"), ("fox", 1, "fox"), ("mill", 1, "mill")]
    assert told("object") == [("fox", 1, "fox"), ("mill", 0, "mill")]
    assert told("woman") == [("Lena", 1, "Lena"), ("Tom", 0, "Tom")]
    assert told("hero") == [("She", 1, "Lena"), ("his", 0, "Tom")]


@pytest.mark.parametrize(
    ("word", "before", "noun", "object"),
    [
        (Word("foxes", ("Do.pastsg", "NP/animal", "NP/animal.pl", "Nb/animal.pl", "N/animal.pl")), "the", 1, 1),
        (Word("oats", ("Do.pastsg", "NP/meal", "Nb/meal.mass", "N/meal.mass")), "of", 1, -1),
        (Word("baker", ("Do.pastsg", "NP/owned.sg", "N/role.sg")), "the", 1, -1),
        (Word("hill", ("Do.pastsg", "NP/sight", "NP/outdoor", "NP/outdoor.sg", "N/outdoor.sg")), "the", 1, -1),
        (Word("night", ("Do.pastsg", "Time", "N/event.sg")), "the", 1, 0),
        (Word("cloud", ("Nature", "Nb/sky.sg", "N/sky.sg")), "the", 1, -1),
        (Word("slowly", ("Manner", "Adv/manner")), "ran", 0, -1),
        (Word("pick up", ("Do.base", "Vt/thing.base")), "to", -1, -1),
        (Word("gave", ("",)), "Lena", -1, -1),
    ],
)
def test_nouns_and_objects(word: Word, before: str, noun: int, object: int) -> None:
    assert noun_label(word) == noun
    assert object_label(word, before) == object


def test_the_hand_written_rules_guess() -> None:
    assert [noun_by_rule(text) for text in ("Lena saw the old mill", "Lena walked", "to the muddy")] == [1, 0, 0]
    texts = ("Lena saw a red fox", "Lena sat near the mill", "Lena came to town")
    assert [object_by_rule(text) for text in texts] == [1, 0, 0]
    assert woman_by_rule("To Lena") == 1
    assert woman_by_rule("Then Tom") == 0
    assert woman_by_rule("Nell lost her key. Then Tom came to Oakford. Nell") == 1  # by the pronoun
    assert woman_by_rule("Nell met Rosa, who lost her key. Nell") == 0
    assert hero_by_rule("Lena met Tom. She") == 1
    assert hero_by_rule("Lena met Tom. He") == 0
    assert hero_by_rule("Lena met Rosa. She") == 0


def test_a_teller_keeps_the_words_of_its_last_story_alone() -> None:
    teller = LabelledTeller(3)
    for _ in range(3):
        text = teller.story()
        assert word_ends(text, [word.text for word in teller.words])[-1] == len(text)
        assert {"$A", "$A.kind"} <= set(teller.slots)
    paths: Sequence[tuple[str, ...]] = [word.path for word in teller.words]
    assert any(name.startswith("$A") for name in itertools.chain(*paths))


def test_the_centre_of_gravity_has_an_interval_over_its_clusters() -> None:
    layers = [[0.5] * 40, [0.5] * 40, [0.9] * 40]
    assert centre_of(layers, list(range(40))) == Value(2.0, 2.0, 2.0)
    draw = np.random.default_rng(0)
    noisy = [(draw.random(400) < p).astype(float).tolist() for p in (0.6, 0.7, 0.9)]
    items, groups = list(range(400)), [at // 100 for at in range(400)]
    alone, grouped = centre_of(noisy, items), centre_of(noisy, items, groups)
    assert alone.value == grouped.value == pytest.approx(1.25, abs=0.2)
    assert alone.low is not None
    assert grouped.low is not None
    assert grouped.low <= alone.low < alone.value
