"""What a quickstart asks of its model: sentences that the grammar judges, and questions with known answers."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from scratchlm import storyworld
from scratchlm.generation.language_model import LanguageModel
from scratchlm.storyworld.quiz import Question
from scratchlm.tours.quickstart.text import QuickstartText

SENTENCES = 200
"""Sentences that are sampled and judged."""
SAMPLING: dict[str, Any] = {"temperature": 1.0, "min_p": 0.1}
"""How it writes: any word that is at least a tenth as likely as the likeliest, at its own odds."""
ANSWER_TOKENS = 24
"""Most tokens of an answer."""
TOGETHER = 48
"""Questions that are asked at once; between two such groups the clock is looked at."""


@dataclass(frozen=True)
class QuizAnswer:
    """A question with the answer that is right and the one that was given."""

    split: str
    question: str
    expected: str
    given: str
    chance: float
    """How often guessing the commonest answer of this kind would be right."""

    @property
    def correct(self) -> bool:
        """Whether the answer is exactly the expected one."""
        return self.given == self.expected

    def as_dict(self) -> dict[str, Any]:
        """Return all fields."""
        return asdict(self)


@dataclass(frozen=True)
class Reading:
    """How the model writes."""

    sentences: int
    parsed: float
    """Fraction that the generator's grammar accepts."""
    copied: float
    """Fraction that occurs word for word in the training text."""
    strange: list[str]
    """Sentences that the grammar does not accept, a few."""


def ask(
    model: LanguageModel,
    questions: Sequence[Question],
    seconds: float = math.inf,
    clock: Callable[[], float] = time.monotonic,
) -> list[QuizAnswer]:
    """Ask questions, taking the likeliest answer; after `seconds` those that are left are not asked.

    They are asked in groups in which every kind of question takes its part, so that some stand for all.
    """
    groups = -(-len(questions) // TOGETHER)
    given: dict[int, str] = {}
    began, longest = clock(), 0.0
    for first in range(groups):
        at = clock()
        if first and at - began + longest > seconds:
            break
        places = range(first, len(questions), groups)
        prompts = [[{"role": "user", "content": questions[place].question}] for place in places]
        answers = model.replies(prompts, max_tokens=ANSWER_TOKENS, temperature=0.0)
        given.update(zip(places, (answer.strip() for answer in answers), strict=True))
        longest = max(longest, clock() - at)
    asked = [(questions[place], given[place]) for place in sorted(given)]
    return [QuizAnswer(q.split, q.question, q.expected, answer, q.chance) for q, answer in asked]


def read_aloud(
    model: LanguageModel,
    corpus: QuickstartText,
    seed: int,
    wanted: int = SENTENCES,
    seconds: float = math.inf,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[str, Reading | None]:
    """Sample a story; of the embedded corpus go on to `wanted` sentences, for `seconds` at most, and judge them."""
    end = clock() + seconds
    first = _story(model, 160, seed, end, clock)
    if not corpus.grammatical:
        return first, None
    sentences: list[str] = []
    for number in range(1, 400):
        if sentences and clock() > end:
            break
        text = _story(model, 230, seed + number, end, clock)
        spoken = storyworld.sentences(text)
        sentences.extend(spoken if text.rstrip().endswith((".", "!", "?", '"')) else spoken[:-1])
        if len(sentences) >= wanted or clock() > end:
            break
    sentences = sentences[:wanted]
    known = {sentence for text in corpus.train for sentence in storyworld.sentences(text)}
    strange = [sentence for sentence in sentences if not storyworld.parses(sentence)]
    n = max(1, len(sentences))
    copied = sum(sentence in known for sentence in sentences) / n
    return first, Reading(len(sentences), 1.0 - len(strange) / n, copied, strange[:8])


def _story(model: LanguageModel, tokens: int, seed: int, end: float, clock: Callable[[], float]) -> str:
    """Sample a text from nothing; once `end` has come it stops where it is."""
    pieces: list[str] = []
    for piece in model.stream_generate("", max_tokens=tokens, **SAMPLING, seed=seed):
        pieces.append(piece)
        if clock() > end:
            break
    return "".join(pieces)
