"""Questions with known answers, and conversations for fine-tuning a model to answer them.

Every fact in the stories is either *taught* (its questions are in the conversations) or *held in* (it is in the stories
only). Facts in no story are *held out*: a model can only guess them, so their score is the baseline of guessing.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Literal

from scratchlm.storyworld.facts import ATTRIBUTES
from scratchlm.storyworld.teller import finish, openings
from scratchlm.storyworld.world import Fact, World, build_world

Conversation = list[dict[str, str]]

TAUGHT_SHARE = 1 / 3
_SMALL_TALK = (
    ("Hello!", "Hello! How are you today?"),
    ("Hello.", "Hello! It is good to see you."),
    ("Good morning!", "Good morning! What a lovely day."),
    ("How are you?", "I am very well, thank you."),
    ("Who are you?", "I am a little teller of stories."),
    ("What can you do?", "I can tell stories and answer questions."),
    ("Thank you!", "You are welcome."),
    ("Thank you for the story.", "You are welcome. I love to tell stories."),
    ("Goodbye!", "Goodbye! Come back soon."),
    ("Can you help me?", "Of course. What do you want to know?"),
)
_STORY_REQUESTS = (
    "Tell me a story about $A.",
    "Please tell me a story about $A.",
    "Do you know a story about $A?",
    "I want to hear a story about $A.",
)


_ACQUAINTANCE = (
    ("Do you know $A?", "$A is in my stories."),
    ("Have you heard of $A?", "$A is in many a story of mine."),
    ("Do you like $A?", "$A is dear to me."),
    ("I like $A.", "$A is dear to me, too."),
)
"""Answers that begin with the name in question, like those to the questions, and state no fact."""


@dataclass(frozen=True)
class Question:
    """One question; `chance` is the fraction of the attribute's most frequent value, the majority baseline."""

    split: Literal["held-in", "held-out"]
    question: str
    expected: str
    value: str
    attribute: str
    subject: str
    chance: float


def statement(fact: Fact) -> str:
    """Return the canonical sentence of a fact, which is also the expected answer to its questions."""
    canonical = ATTRIBUTES[fact.attribute].canonical.replace(f"$A.{fact.attribute}", fact.value)
    text = finish([canonical.replace("$A", fact.subject)])
    return text[0].upper() + text[1:]


def phrasings(fact: Fact) -> list[str]:
    """Return the question phrasings that conversations use."""
    return [text.replace("$A", fact.subject) for text in ATTRIBUTES[fact.attribute].phrasings]


def held_out_phrasings(fact: Fact) -> list[str]:
    """Return the phrasings that no conversation uses, to test generalisation over wording."""
    return [text.replace("$A", fact.subject) for text in ATTRIBUTES[fact.attribute].held_out_phrasings]


def taught_facts(world: World) -> list[Fact]:
    """Return the taught facts, a third of those in the stories, balanced over attributes and people."""
    rng = random.Random(f"taught {world.seed}")
    facts: dict[str, list[Fact]] = defaultdict(list)
    for fact in world.facts():
        if fact.in_stories:
            facts[fact.attribute].append(fact)
    return [fact for group in facts.values() for fact in rng.sample(group, round(len(group) * TAUGHT_SHARE))]


def questions(world: World | None = None) -> list[Question]:
    """Return the test set: a question for every fact in stories but not in conversations, and every fact in neither."""
    world = world or build_world()
    taught = {(fact.subject, fact.attribute) for fact in taught_facts(world)}
    values: dict[str, Counter[str]] = defaultdict(Counter)
    for fact in world.facts():
        values[fact.attribute][fact.value] += 1
    rng = random.Random(f"questions {world.seed}")
    asked: list[Question] = []
    for fact in world.facts():
        if (fact.subject, fact.attribute) in taught:
            continue
        wording = phrasings(fact)
        asked.append(
            Question(
                split="held-in" if fact.in_stories else "held-out",
                question=wording[int(rng.random() * len(wording))],
                expected=statement(fact),
                value=fact.value,
                attribute=fact.attribute,
                subject=fact.subject,
                chance=max(values[fact.attribute].values()) / values[fact.attribute].total(),
            )
        )
    return asked


def _talk(*pairs: tuple[str, str]) -> Conversation:
    """Make a conversation of what the user says and the assistant answers."""
    turns = (turn for pair in pairs for turn in zip(("user", "assistant"), pair, strict=True))
    return [{"role": role, "content": content} for role, content in turns]


def _about_facts(world: World, rng: random.Random) -> list[Conversation]:
    """Ask every phrasing of every taught fact, a part of them after another question."""
    asked = [(question, statement(fact)) for fact in taught_facts(world) for question in phrasings(fact)]
    talks: list[Conversation] = []
    for _ in range(3):
        rng.shuffle(asked)
        waiting: list[tuple[str, str]] = []
        for pair in asked:
            if not waiting and rng.random() < 0.15:
                waiting = [pair]
            else:
                talks.append(_talk(*waiting, pair))
                waiting = []
        if waiting:
            talks.append(_talk(*waiting))
    return talks


def _about_names(world: World, rng: random.Random) -> list[Conversation]:
    """Mention everybody and everything in the stories, twice, so that every name of a question was seen."""
    names = sorted({fact.subject for fact in world.facts() if fact.in_stories})
    return [
        _talk((said.replace("$A", name), answer.replace("$A", name)))
        for name in names
        for said, answer in rng.sample(_ACQUAINTANCE, 2)
    ]


def conversations(seed: int = 0, world: World | None = None) -> list[Conversation]:
    """Return at least 1,500 fine-tuning conversations, each a list of {"role", "content"} turns.

    Most ask about a third of the told facts in several phrasings; the others ask for a story or make small talk.
    """
    world = world or build_world()
    rng = random.Random(f"conversations {world.seed} {seed}")
    talks = _about_facts(world, rng) + _about_names(world, rng)
    talks += [
        _talk((rng.choice(_STORY_REQUESTS).replace("$A", name), text))
        for name, texts in openings(seed, world).items()
        for text in texts
    ]
    talks += [_talk(pair) for _ in range(6) for pair in _SMALL_TALK]
    rng.shuffle(talks)
    return talks
