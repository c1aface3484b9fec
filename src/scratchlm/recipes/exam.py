"""What a quickstart asks of its model: sentences that the grammar judges, and questions with known answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from scratchlm.generation.language_model import LanguageModel
from scratchlm.recipes.quicktext import Corpus
from scratchlm.text import storyworld
from scratchlm.text.storyworld.quiz import Question

SENTENCES = 200
"""Sentences that are sampled and judged."""
SAMPLING: dict[str, Any] = {"temperature": 1.0, "min_p": 0.1}
"""How it writes: any word that is at least a tenth as likely as the likeliest, at its own odds."""
ANSWER_TOKENS = 24
"""Most tokens of an answer."""


@dataclass(frozen=True)
class Answer:
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
    """Share that the generator's grammar accepts."""
    copied: float
    """Share that stands word for word in the training text."""
    strange: list[str]
    """Sentences that the grammar does not accept, a few."""


def ask(model: LanguageModel, questions: Sequence[Question]) -> list[Answer]:
    """Ask every question, taking the likeliest answer."""
    given = model.replies([[{"role": "user", "content": q.question}] for q in questions], ANSWER_TOKENS)
    return [Answer(q.split, q.question, q.expected, g, q.chance) for q, g in zip(questions, given, strict=True)]


def read_aloud(model: LanguageModel, corpus: Corpus, seed: int) -> tuple[str, Reading | None]:
    """Sample a story; for the embedded corpus go on until 200 sentences are there, and judge them."""
    first = model.generate("", max_tokens=160, **SAMPLING, seed=seed)
    if not corpus.grammatical:
        return first, None
    sentences: list[str] = []
    for number in range(1, 400):
        text = model.generate("", max_tokens=230, **SAMPLING, seed=seed + number)
        whole = storyworld.sentences(text)
        sentences.extend(whole if text.rstrip().endswith((".", "!", "?", '"')) else whole[:-1])
        if len(sentences) >= SENTENCES:
            break
    sentences = sentences[:SENTENCES]
    known = {sentence for text in corpus.train for sentence in storyworld.sentences(text)}
    strange = [sentence for sentence in sentences if not storyworld.parses(sentence)]
    n = max(1, len(sentences))
    copied = sum(sentence in known for sentence in sentences) / n
    return first, Reading(len(sentences), 1.0 - len(strange) / n, copied, strange[:8])
