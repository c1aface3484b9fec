"""The embedded corpus: a seeded generator of synthetic short stories with consistent facts, and questions about them.

Everything is derived from one grammar (`rules`), one lexicon (`words_*`, `names`) and one set of plots (`plots`), all
written for this package. Nothing is loaded or built before the first call.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scratchlm.storyworld.quiz import Conversation, Question
    from scratchlm.storyworld.world import World

__all__ = ["build_world", "conversations", "parses", "questions", "sentences", "stories"]


@cache
def build_world(seed: int = 0) -> World:
    """Return the world of a seed: its people, towns and famous things with their facts. Takes milliseconds."""
    from scratchlm.storyworld.world import build_world as build

    return build(seed)


def stories(size: int, seed: int = 0, world: World | None = None) -> Iterator[str]:
    """Yield stories, one a document, until at least `size` UTF-8 bytes were yielded.

    Memory is constant in `size`; about 2 MB a second on one core. The seed varies the stories, not the facts: those
    are the world's, by default `build_world(0)`. A negative size is a `UserError`.
    """
    from scratchlm.base.errors import UserError
    from scratchlm.storyworld.teller import tell

    if size < 0:
        raise UserError(f"a size of {size} bytes: it must be at least 0")
    return tell(size, seed, world or build_world())


def conversations(seed: int = 0, world: World | None = None) -> list[Conversation]:
    """Return at least 1,500 fine-tuning conversations, each a list of {"role", "content"} turns.

    Most ask about a third of the told facts in several phrasings; the others ask for a story or make small talk.
    """
    from scratchlm.storyworld import quiz
    from scratchlm.storyworld.teller import openings

    chosen = world or build_world()
    return quiz.conversations(seed, chosen, openings(seed, chosen))


def questions(world: World | None = None) -> list[Question]:
    """Return the test set: a question for every fact in stories but not in conversations, and every fact in neither."""
    from scratchlm.storyworld import quiz

    return quiz.questions(world or build_world())


def parses(sentence: str) -> bool:
    """Say whether one sentence, with its final mark, belongs to the generator's grammar; under a millisecond each.

    It judges syntax, agreement, a/an and capitals; never facts.
    """
    from scratchlm.storyworld.recogniser import parses as recognise

    return recognise(sentence)


def sentences(text: str) -> list[str]:
    """Split a story into the sentences that `parses` judges; direct speech and its speech tag are one sentence."""
    from scratchlm.storyworld.recogniser import sentences as split

    return split(text)
