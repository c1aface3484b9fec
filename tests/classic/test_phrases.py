"""Phrase-based translation: alignments joined by hand, the phrases they allow, and a search that misses nothing."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchlm.base.errors import UserError
from scratchlm.classic.phrase_based import BEGIN_WEIGHTS, FEATURES, PhraseBased, best_value, best_weights
from scratchlm.classic.phrases import learn_phrases, phrases, symmetrised

PAIRS = [
    ("the house is small", "das Haus ist klein"), ("the house is big", "das Haus ist groß"),
    ("the garden is small", "der Garten ist klein"), ("a small house", "ein kleines Haus"),
    ("a big garden", "ein großer Garten"), ("the house", "das Haus"), ("the garden", "der Garten"),
    ("a house", "ein Haus"), ("a garden", "ein Garten"), ("is small", "ist klein"),
    ("I have seen the house", "ich habe das Haus gesehen"), ("I have seen the garden", "ich habe den Garten gesehen"),
    ("I have seen a house", "ich habe ein Haus gesehen"), ("I have", "ich habe"), ("have seen", "habe gesehen"),
]  # fmt: skip


@pytest.fixture(scope="module")
def translator() -> PhraseBased:
    return PhraseBased(PAIRS, beam=1000, reach=10)


def test_joined_alignments_grow_from_what_both_have_to_neighbours_in_their_union() -> None:
    forward, backward = {(0, 0), (1, 1), (2, 2)}, {(0, 0), (2, 2), (2, 3)}
    # (2, 3) is next to (2, 2) and word 3 has no link yet; (1, 1) is next to (0, 0).
    assert symmetrised(forward, backward) == {(0, 0), (1, 1), (2, 2), (2, 3)}
    # (3, 0) is next to nothing, but both of its words have no link: the final step adds it.
    assert symmetrised({(0, 1), (3, 0)}, {(0, 1)}) == {(0, 1), (3, 0)}
    # Word 0 of e has a link already, so the far (0, 3) stays out.
    assert symmetrised({(0, 0), (0, 3)}, {(0, 0)}) == {(0, 0)}


def test_phrases_are_the_spans_whose_words_align_with_nothing_outside() -> None:
    # e: 0 1 2, f: 0 1 2; 0-0, 1-2, 2-1: words 1 and 2 change places.
    found = set(phrases(3, 3, {(0, 0), (1, 2), (2, 1)}, 3))
    assert found == {(0, 1, 0, 1), (1, 2, 2, 3), (2, 3, 1, 2), (1, 3, 1, 3), (0, 3, 0, 3)}
    assert set(phrases(3, 3, {(0, 0), (1, 2), (2, 1)}, 1)) == {(0, 1, 0, 1), (1, 2, 2, 3), (2, 3, 1, 2)}


def test_a_word_without_a_link_may_belong_to_either_neighbour() -> None:
    found = set(phrases(2, 3, {(0, 0), (1, 2)}, 3))
    assert found == {(0, 1, 0, 1), (0, 1, 0, 2), (1, 2, 2, 3), (1, 2, 1, 3), (0, 2, 0, 3)}


@settings(max_examples=60, deadline=None)
@given(st.sets(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=8))
def test_the_phrases_are_those_that_the_definition_gives(links: set[tuple[int, int]]) -> None:
    spans = [(a, b) for a in range(4) for b in range(a + 1, 5)]
    expected = {
        (*e, *f)
        for e, f in itertools.product(spans, spans)
        if any(e[0] <= i < e[1] and f[0] <= j < f[1] for i, j in links)
        and all((e[0] <= i < e[1]) == (f[0] <= j < f[1]) for i, j in links)
    }
    assert set(phrases(4, 4, links, 4)) == expected


def test_a_phrase_table_has_relative_frequencies() -> None:
    table = learn_phrases([(e.lower().split(), f.lower().split()) for e, f in PAIRS])
    options = {option.words: option for option in table["the", "house"]}
    assert math.exp(options["das", "haus"].forward) == pytest.approx(1)
    the = {option.words: math.exp(option.forward) for option in table["the",]}
    assert sum(the.values()) == pytest.approx(1)
    assert {("das",), ("der",), ("den",)} <= set(the)
    assert all(number <= 0 for options in table.values() for option in options for number in option[1:])


def test_a_table_keeps_the_most_probable_translations() -> None:
    split = [(e.lower().split(), f.lower().split()) for e, f in PAIRS]
    every, few = (learn_phrases(split, most=most)["the",] for most in (20, 2))
    assert len(every) > len(few) == 2
    assert few == every[:2]
    assert [option.forward for option in every] == sorted((option.forward for option in every), reverse=True)


def test_it_translates_what_it_saw_and_puts_a_verb_at_the_end(translator: PhraseBased) -> None:
    for e, f in PAIRS:
        assert translator.translate(e).lower() == f.lower(), e
    assert translator.translate("I have seen a garden").lower() == "ich habe ein garten gesehen"
    assert translator.translate("the garden is big") == "Der Garten ist groß"


def test_what_it_never_saw_is_copied_and_nothing_stays_nothing(translator: PhraseBased) -> None:
    assert translator.translate("Zanzibar").lower() == "zanzibar"
    assert translator.translate("") == ""


def test_the_search_finds_the_best_of_all_translations(translator: PhraseBased) -> None:
    """Every way to cut a sentence, to order the phrases and to translate each, scored by the formula."""
    for sentence in ("a small house", "the garden is", "I have seen"):
        e = sentence.lower().split()
        options = translator.options(e)
        best = -math.inf
        for size in range(1, len(e) + 1):
            for order in itertools.permutations(options, size):
                if sorted(at for span in order for at in range(*span)) != list(range(len(e))):
                    continue
                for chosen in itertools.product(*(options[span] for span in order)):
                    words = tuple(word for option, _ in chosen for word in option.words)
                    likely, _ = translator.likely(words, translator.begin, True)
                    ends = [0, *(span[1] for span in order)]
                    jumps = sum(abs(span[0] - end) for span, end in zip(order, ends, strict=False))
                    worth = sum(worth for _, worth in chosen)
                    best = max(best, worth + BEGIN_WEIGHTS[0] * likely + BEGIN_WEIGHTS[7] * jumps)
        found = translator.search(e)[0]
        assert found.score == pytest.approx(best), sentence
        assert float(found.features() @ np.array(BEGIN_WEIGHTS)) == pytest.approx(best)


def test_alternatives_come_best_first_and_a_small_beam_finds_fewer(translator: PhraseBased) -> None:
    found = translator.search(["a", "small", "house"], 10)
    assert [each.score for each in found] == sorted((each.score for each in found), reverse=True)
    narrow = PhraseBased(PAIRS, beam=1)
    assert len(narrow.search(["a", "small", "house"], 1000)) < len(translator.search(["a", "small", "house"], 1000))


def test_tuning_finds_weights_that_score_higher(translator: PhraseBased) -> None:
    poor = PhraseBased(PAIRS)
    poor.weights = (0.0,) * len(FEATURES)

    def score(text: str, reference: str) -> float:
        return float(text.lower() == reference.lower())

    held = [("the garden is big", "der Garten ist groß"), ("a small garden", "ein kleines Garten")]
    before = sum(score(poor.translate(e), f) for e, f in held)
    poor.tune(held, score, rounds=4)
    assert len(poor.weights) == len(FEATURES)
    assert sum(score(poor.translate(e), f) for e, f in held) > before


def test_weights_are_tuned_on_pairs_whose_phrases_are_then_learned_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    learned: list[list[tuple[str, str]]] = []
    tuned_on: list[tuple[str, str]] = []
    learn = PhraseBased.__init__
    found = tuple(2 * weight for weight in BEGIN_WEIGHTS)

    def init(model: PhraseBased, pairs: list[tuple[str, str]], *more: object, **named: object) -> None:
        learned.append(list(pairs))
        learn(model, pairs, *more, **named)

    def held(model: PhraseBased, pairs: list[tuple[str, str]], score: object) -> None:
        tuned_on.extend(pairs)
        model.weights = found

    monkeypatch.setattr(PhraseBased, "__init__", init)
    monkeypatch.setattr(PhraseBased, "tune", held)
    model = PhraseBased.tuned(PAIRS, 2, lambda said, right: float(said == right), beam=3)
    assert tuned_on == PAIRS[-min(2, len(PAIRS) // 5) :]
    assert learned == [PAIRS[: -len(tuned_on)], PAIRS]
    assert model.weights == found
    assert model.beam == 3


def test_the_best_weights_are_found_one_at_a_time() -> None:
    features = [np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([[2.0, 1.0], [0.0, 1.0]])]
    scores = [np.array([0.0, 1.0]), np.array([0.0, 1.0])]
    found = best_weights(features, scores, np.array([1.0, 0.0]), np.random.default_rng(0))
    assert [int(np.argmax(each @ found)) for each in features] == [1, 1]


@pytest.mark.parametrize("seed", range(5))
def test_the_best_value_of_a_weight_is_that_of_a_fine_grid(seed: int) -> None:
    draw = np.random.default_rng(seed)
    features = [draw.normal(size=(int(draw.integers(1, 9)), 3)) for _ in range(6)]
    scores = [draw.random(len(each)) for each in features]
    weights = draw.normal(size=3)

    def mean(value: float) -> float:
        tried = np.array([weights[0], value, weights[2]])
        return float(np.mean([of[np.argmax(each @ tried)] for each, of in zip(features, scores, strict=True)]))

    value, reached = best_value(features, scores, weights, 1)
    assert mean(value) == pytest.approx(reached)
    assert reached >= max(mean(x) for x in np.linspace(-20, 20, 4001)) - 1e-9


def test_pairs_without_words_are_refused() -> None:
    with pytest.raises(UserError, match="give pairs of sentences"):
        PhraseBased([("", "")])
