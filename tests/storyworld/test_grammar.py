"""The grammar of the embedded corpus: what it writes it accepts, and it rejects what is not a sentence."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

import pytest

from scratchlm.storyworld import facts, parses, sentences, stories
from scratchlm.storyworld.frames import for_role, plot_blocks, split_frame
from scratchlm.storyworld.grammar import Item, Symbol, parse_items
from scratchlm.storyworld.lexicon import lexicon, stripped
from scratchlm.storyworld.morphology import gerund, past, plural, third_person
from scratchlm.storyworld.recogniser import Recogniser
from scratchlm.storyworld.written import plot

_EXAMPLES = {
    "A": "Mara", "B": "Tom", "P": "Oakford", "S": "Great Bell", "a": "she", "b": "he", "a.o": "her", "b.o": "him",
    "a.p": "her", "b.p": "his", "town": "Oakford", "stand": "Oakford", "job": "baker", "pet": "goat", "food": "plums",
    "colour": "red", "instrument": "flute", "treasure": "ring", "known": "bells", "site": "river", "material": "oak",
    "kind": "woman", "adj": "old",
}  # fmt: skip


def frames() -> Iterator[tuple[str, dict[str, str]]]:
    """Yield every frame with the header (slot to noun class) of its plot."""
    texts: list[tuple[str, dict[str, str]]] = [
        (plot(name), {}) for name in ("intros", "incidents", "closings", "scenes", "fillers")
    ]
    texts += [(body, header) for header, body in plot_blocks()]
    for text, header in texts:
        for line in text.strip().splitlines():
            if line[:1] in {"-", "/", "?"}:
                yield line[2:].strip(), header
    for attribute in facts.ATTRIBUTES.values():
        role = attribute.roles[0]
        yield from ((for_role(text, role), {}) for text in (attribute.canonical, *attribute.frames))
    yield from ((text, {}) for text in facts.PAIRS)


def _words(slot: str, cast: dict[str, str]) -> list[Item]:
    """Return the words of an example value of a slot."""
    role, _, key = slot[1:].partition(".")
    in_cast = role in cast and not key
    text = lexicon()[f"N/{cast[role]}.sg"][0] if in_cast else _EXAMPLES.get(slot[1:]) or _EXAMPLES[key]
    return list(text.split())


def sentential_form(frame: str, cast: dict[str, str]) -> list[Item]:
    """Return the frame in the recogniser's form: example words for slots, categories without their classes."""
    subject, speech, body = split_frame(frame)
    items: list[Item] = []
    for item in parse_items(body):
        if item == "~":
            items.append(Symbol("Tail.first" if speech else "Tail.sg"))
        elif isinstance(item, Symbol) and item.name.startswith("$"):
            items.extend(_words(item.name, cast))
        elif isinstance(item, Symbol):
            items.append(Symbol(stripped(item.name)))
        else:
            items.append(item)
    if speech:
        verb = Symbol("Vask.past" if speech == "?" else "Vsay.past")
        return ["<<", *items, speech, "''", verb, *_words("$" + subject, cast), "."]
    return items


def unproved_frames() -> list[str]:
    """Return the frames that the grammar does not derive; any such frame is an inconsistency."""
    return [f for f, cast in frames() if not Recogniser(sentential_form(f, cast)).derives("S")]


@pytest.fixture(scope="module")
def written() -> list[str]:
    return [sentence for story in stories(120_000, seed=11) for sentence in sentences(story)]


def test_every_frame_of_every_plot_is_a_sentential_form_of_the_grammar() -> None:
    assert unproved_frames() == []


def test_every_sentence_that_the_generator_writes_parses(written: list[str]) -> None:
    assert len(written) > 2_000
    assert [sentence for sentence in written if not parses(sentence)] == []


@pytest.mark.slow
def test_every_sentence_of_a_megabyte_of_another_seed_parses() -> None:
    for story in stories(1_000_000, seed=23):
        assert [sentence for sentence in sentences(story) if not parses(sentence)] == []


@pytest.mark.parametrize(
    "sentence",
    [
        "The dogs was happy.",
        "He walk to the mill.",
        "She saw a apple.",
        "She saw an pear.",
        "mara lives in Oakford.",
        "Mara live in Oakford.",
        "Mara lives in oakford.",
        "The the dog slept.",
        "Mara the to mill walked.",
        "She wanted to walked home.",
        "She was walk home.",
        "I is happy.",
        "They was tired.",
        "Mara did not found the ring.",
        "Three dog slept in the garden.",
        '"Where is my ring?" asked Tom',
        '"Where is my ring? asked Tom.',
        "Mara's favourite is red colour.",
        "Because she was tired.",
        "In the garden.",
        "Mara.",
        "",
    ],
)
def test_word_salad_and_wrong_agreement_do_not_parse(sentence: str) -> None:
    assert not parses(sentence)


@pytest.mark.parametrize(
    "sentence",
    [
        "Mara lives in Oakford.",
        "Tom's favourite food is plums.",
        "The old dogs slept under the big table because they were tired.",
        "When the sun rose, she opened the window and looked at the garden.",
        '"Have you seen my kite?" asked Tom.',
        '"I am a baker," said Mara softly.',
        "He was so happy that he danced all day.",
        "The giraffe sold a hat to the mayor.",
        "The fox that lived behind the mill was not afraid of the dogs.",
    ],
)
def test_grammatical_sentences_with_unusual_content_parse(sentence: str) -> None:
    assert parses(sentence)


def test_at_least_95_percent_of_shuffled_sentences_are_rejected(written: list[str]) -> None:
    rng = random.Random(0)
    shuffled = []
    for sentence in rng.sample(written, 600):
        words = sentence.rstrip('.!?"').replace('"', "").split()
        order = rng.sample(words, len(words))
        if len(words) > 3 and order != words:
            order = [word.lower() if word in {words[0]} and word.lower() in _lower() else word for word in order]
            text = " ".join(order)
            shuffled.append(text[0].upper() + text[1:] + ".")
    assert sum(parses(sentence) for sentence in shuffled) <= 0.05 * len(shuffled)


def test_at_least_95_percent_of_sentences_with_a_word_of_another_class_are_rejected(written: list[str]) -> None:
    rng = random.Random(1)
    classes = _classes()
    words = sorted(classes)
    changed = []
    for sentence in rng.sample(written, 1_000):
        parts = sentence.split(" ")
        places = [i for i, part in enumerate(parts) if i and part in classes]
        if places:
            place = rng.choice(places)
            other = next(w for w in iter(lambda: rng.choice(words), None) if not classes[w] & classes[parts[place]])
            changed.append(" ".join([*parts[:place], other, *parts[place + 1 :]]))
    assert len(changed) > 800
    assert sum(parses(sentence) for sentence in changed) <= 0.05 * len(changed)


def test_a_thousand_sentences_are_judged_in_under_five_seconds(written: list[str]) -> None:
    parses(written[0])
    start = time.process_time()
    for sentence in written[:1_000]:
        parses(sentence)
    assert time.process_time() - start < 5


def test_direct_speech_and_its_tag_are_one_sentence() -> None:
    text = '"Where is it?" asked Tom. "I do not know," said Mara, "but we can look." "Good idea!" Then they left.'
    assert sentences(text) == [
        '"Where is it?" asked Tom.',
        '"I do not know," said Mara, "but we can look."',
        '"Good idea!"',
        "Then they left.",
    ]


def test_joined_sentences_give_the_story_back() -> None:
    for story in stories(30_000, seed=5):
        assert " ".join(sentences(story)) == story.replace("\n", " ")


def test_regular_inflection_follows_english_spelling() -> None:
    assert [plural(w) for w in ("box", "berry", "day", "cat")] == ["boxes", "berries", "days", "cats"]
    assert [past(w) for w in ("stop", "visit", "carry", "bake", "play")] == [
        "stopped",
        "visited",
        "carried",
        "baked",
        "played",
    ]
    assert [gerund(w) for w in ("run", "bake", "lie", "see")] == ["running", "baking", "lying", "seeing"]
    assert [third_person(w) for w in ("go", "wash", "try")] == ["goes", "washes", "tries"]


def _classes() -> dict[str, set[str]]:
    """Map each one-word lower-case entry to its word classes."""
    found: dict[str, set[str]] = {}
    for category, words in lexicon().items():
        base = stripped(category).partition(".")[0]
        broad = "noun" if base in {"N", "TimeN"} else "verb" if base[0] == "V" else base
        for word in words:
            if word.islower() and " " not in word:
                found.setdefault(word, set()).add(broad)
    return found


def _lower() -> set[str]:
    return {part for words in lexicon().values() for word in words for part in word.split() if part.islower()} | {
        "the", "a", "he", "she", "it", "they", "we", "you", "there", "then",
    }  # fmt: skip
