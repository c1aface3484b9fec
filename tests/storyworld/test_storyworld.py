"""The embedded corpus: its text, its facts and its questions."""

from __future__ import annotations

import lzma
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import pytest

from scratchlm import storyworld
from scratchlm.base.errors import UserError
from scratchlm.storyworld import facts, quiz

SIZE = 400_000


@pytest.fixture(scope="module")
def corpus() -> list[str]:
    return list(storyworld.stories(SIZE, seed=0))


def test_stories_hold_at_least_the_bytes_asked_for_and_not_one_story_more(corpus: list[str]) -> None:
    sizes = [len(story.encode()) for story in corpus]
    assert sum(sizes) >= SIZE
    assert sum(sizes[:-1]) < SIZE


def test_the_same_seed_tells_the_same_stories_in_a_fresh_process(corpus: list[str]) -> None:
    code = "from scratchlm import storyworld as s; print('|'.join(s.stories(3000, seed=0)), end='')"
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert told.stdout.split("|") == corpus[: len(told.stdout.split("|"))]


def test_another_seed_tells_other_stories_about_the_same_facts(corpus: list[str]) -> None:
    other = list(storyworld.stories(20_000, seed=1))
    assert not set(other) & set(corpus)


def test_a_story_has_5_to_16_sentences_and_300_to_1300_characters(corpus: list[str]) -> None:
    counts = [len(storyworld.sentences(story)) for story in corpus]
    assert min(counts) >= 5
    assert max(counts) <= 16
    assert all(300 <= len(story) <= 1_300 for story in corpus)


def test_stories_are_plain_ascii_without_blank_lines_or_leftovers_of_the_frames(corpus: list[str]) -> None:
    text = "\n".join(corpus)
    assert text.isascii()
    assert not re.search(r"\n\n|  |[$~<>_/]|''| [.,!?]", text)


def test_no_story_names_a_hidden_person_or_states_a_held_out_fact(corpus: list[str]) -> None:
    text = " ".join(corpus)
    world = storyworld.build_world()
    for person in world.people:
        assert bool(re.search(rf"\b{person.name}\b", text)) != person.hidden
    assert not [fact for fact in world.facts() if not fact.in_stories and quiz.statement(fact) in text]


def test_every_sentence_about_one_person_tells_only_that_persons_value(corpus: list[str]) -> None:
    stated = re.findall(r"(\w+)'s favourite (food|colour) is (\w+)\.", " ".join(corpus))
    world = storyworld.build_world()
    assert len(stated) > 100
    assert all(world.entity(name).facts[key].value == value for name, key, value in stated)


def test_all_facts_except_the_held_out_are_stated_evenly() -> None:
    from scratchlm.storyworld.teller import Teller

    world = storyworld.build_world()
    teller = Teller(world, 0)
    for _ in range(600):
        teller.story()
    told = {(f.subject, f.attribute) for f in world.facts() if f.in_stories}
    assert set(teller.counts) == told
    assert min(teller.counts.values()) >= 2


def test_a_negative_size_is_an_error_that_names_it() -> None:
    with pytest.raises(UserError, match="-5"):
        storyworld.stories(-5)


def test_an_unknown_name_is_an_error_that_offers_names() -> None:
    with pytest.raises(UserError, match="Nobody"):
        storyworld.build_world().entity("Nobody")


def test_values_are_used_evenly_and_guessing_scores_at_most_six_percent() -> None:
    asked = storyworld.questions()
    assert max(question.chance for question in asked) <= 0.06
    expected = Counter(q.value for q in asked if q.split == "held-in")
    assert expected.most_common(1)[0][1] <= 0.05 * sum(expected.values())


def test_there_are_enough_questions_of_both_kinds_over_all_attributes() -> None:
    asked = storyworld.questions()
    held_in = [question for question in asked if question.split == "held-in"]
    held_out = [question for question in asked if question.split == "held-out"]
    assert len(held_in) >= 240
    assert len(held_out) >= 80
    assert {q.attribute for q in held_in} == {q.attribute for q in held_out} == set(facts.ATTRIBUTES)
    assert len({(q.subject, q.attribute) for q in asked}) == len(asked)


def test_held_in_answers_are_in_the_stories_and_no_tested_question_is_in_a_conversation() -> None:
    text = " ".join(storyworld.stories(1_500_000))
    said = {turn["content"] for conversation in storyworld.conversations() for turn in conversation}
    for question in storyworld.questions():
        assert (question.expected in text) == (question.split == "held-in")
        assert question.question not in said


def test_no_conversation_asks_about_a_tested_fact_in_any_phrasing() -> None:
    world = storyworld.build_world()
    tested = {(q.subject, q.attribute) for q in storyworld.questions()}
    said = {turn["content"] for conversation in storyworld.conversations() for turn in conversation}
    for fact in world.facts():
        wordings = set(quiz.phrasings(fact)) & said
        assert bool(wordings) != ((fact.subject, fact.attribute) in tested)
        assert not set(quiz.held_out_phrasings(fact)) & said


def test_no_conversation_states_a_held_out_fact_or_names_a_hidden_person() -> None:
    world = storyworld.build_world()
    said = " ".join(turn["content"] for talk in storyworld.conversations() for turn in talk)
    assert not [person.name for person in world.people if person.hidden and re.search(rf"\b{person.name}\b", said)]
    assert not [fact for fact in world.facts() if not fact.in_stories and quiz.statement(fact) in said]


def test_conversations_alternate_user_and_assistant_and_are_the_same_for_a_seed() -> None:
    talks = storyworld.conversations(seed=3)
    assert len(talks) >= 1_500
    assert talks == storyworld.conversations(seed=3)
    assert talks != storyworld.conversations(seed=4)
    for talk in talks:
        assert [turn["role"] for turn in talk] == ["user", "assistant"] * (len(talk) // 2)
        assert len(talk) in {2, 4}
    assert any(len(talk) == 4 for talk in talks)


_WORD = re.compile(r"[a-z']+")
COMMON_WORDS = 300
MIN_DOCUMENTS = 5


@dataclass(frozen=True)
class Diversity:
    """The four measures of diversity of a text, and its size in bytes."""

    size: int
    words_in_five_documents: int
    distinct_fivegrams: float  # distinct 5-grams as a fraction of all, within documents
    distinct_skeletons: float  # skeleton: a sentence with every word outside the 300 most frequent blanked
    compressed: float  # bytes after `xz -9` as a fraction of the size


def measure(documents: Iterable[str]) -> Diversity:
    """Measure the diversity of documents; needs them in memory, and about two seconds a megabyte."""
    texts = list(documents)
    words = [_WORD.findall(text.lower()) for text in texts]
    in_documents = Counter(word for found in words for word in set(found))
    counts = Counter(word for found in words for word in found)
    common = {word for word, _ in counts.most_common(COMMON_WORDS)}
    fivegrams = [tuple(found[i : i + 5]) for found in words for i in range(len(found) - 4)]
    skeletons = [
        " ".join(word if word in common else "_" for word in _WORD.findall(sentence.lower()))
        for text in texts
        for sentence in storyworld.sentences(text)
    ]
    joined = "\n\n".join(texts).encode()
    return Diversity(
        size=len(joined),
        words_in_five_documents=sum(count >= MIN_DOCUMENTS for count in in_documents.values()),
        distinct_fivegrams=len(set(fivegrams)) / max(1, len(fivegrams)),
        distinct_skeletons=len(set(skeletons)) / max(1, len(skeletons)),
        compressed=len(lzma.compress(joined, preset=9)) / max(1, len(joined)),
    )


def test_a_small_corpus_is_diverse(corpus: list[str]) -> None:
    variety = measure(corpus)
    assert variety.distinct_fivegrams >= 0.6
    assert variety.distinct_skeletons >= 0.55
    assert variety.compressed >= 0.15


@pytest.mark.slow
def test_two_megabytes_are_as_diverse_as_documented() -> None:
    variety = measure(storyworld.stories(2_350_000))
    assert variety.words_in_five_documents >= 3_100
    assert variety.distinct_fivegrams >= 0.6
    assert variety.distinct_skeletons >= 0.47
    assert variety.compressed >= 0.14


def test_importing_the_corpus_builds_nothing() -> None:
    code = "import sys, scratchlm.storyworld; print([m for m in sys.modules if 'storyworld.' in m])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"
