"""The text of a quickstart: the embedded corpus with its questions, or a user's own."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from scratchlm import storyworld
from scratchlm.base.errors import UserError
from scratchlm.storyworld.portraits import portraits
from scratchlm.storyworld.quiz import Question
from scratchlm.text.clean import clean
from scratchlm.text.config import CleanConfig, SplitConfig
from scratchlm.text.counts import Counts
from scratchlm.text.sources import open_source
from scratchlm.text.split import split_documents
from scratchlm.tokens.chat import Conversation

LARGEST = 40_000_000
"""Bytes of a user's text that a quickstart reads at most: more than it can learn from in its minutes."""

PORTRAITS, MANY_PORTRAITS = 0.05, 0.2
"""Fraction of the embedded corpus that is portraits: the facts of the stories once more, in plain sentences. Many where
little can be read."""

REHEARSED = 1500
"""Stories that are rehearsed, at most."""


@dataclass(frozen=True)
class QuickstartText:
    """Texts to learn from, texts held out, and what else can be asked of a model that has read them."""

    train: list[str]
    held_out: list[str]
    conversations: Sequence[Conversation] = ()
    rehearsal: Sequence[str] = ()
    """Texts among those to learn from that fine-tuning shows again between conversations."""
    questions: Sequence[Question] = ()
    grammatical: bool = False
    """Whether `storyworld.parses` judges this text's sentences."""
    left_out: list[str] = field(default_factory=list)
    made_by: dict[str, Any] | None = None
    """Arguments of `storyworld_corpus` that make this corpus again; None for other text."""

    @property
    def bytes(self) -> int:
        """UTF-8 bytes to learn from."""
        return sum(len(text.encode("utf-8")) for text in self.train)


def storyworld_corpus(size: int, seed: int, fraction: float = PORTRAITS) -> QuickstartText:
    """Write about `size` bytes of stories, the last of them held out, with portraits strewn between the others.

    `fraction` of it all is portraits.
    """
    texts = list(storyworld.stories(int((1 - fraction) * size), seed))
    held_out = max(1, min(200, len(texts) // 20))
    train = texts[:-held_out] + list(portraits(int(fraction * size), seed, storyworld.build_world()))
    random.Random(seed).shuffle(train)
    return QuickstartText(
        train,
        texts[-held_out:],
        conversations=storyworld.conversations(seed),
        rehearsal=texts[: min(REHEARSED, len(texts) - held_out)],
        questions=storyworld.questions(),
        grammatical=True,
        made_by={"size": size, "seed": seed, "fraction": fraction},
    )


def users_corpus(source: str, text_column: str | None, seed: int, largest: float = LARGEST) -> QuickstartText:
    """Read a named source or files, `largest` bytes of it at most.

    A twentieth of the documents, or of one text its tail, is held out.
    """
    counts = Counts()
    opened = open_source(source, text_column=text_column, seed=seed)
    sides: dict[str, list[str]] = {"train": [], "validation": []}
    left_out = ["questions and chat: this text comes with no conversations to learn from"]
    size = 0
    documents = split_documents(
        lambda: clean(opened.documents(counts), CleanConfig(), counts), SplitConfig("hash", 0.05), counts
    )
    for side, document in documents:
        sides[side].append(document.text)
        size += len(document.text.encode("utf-8"))
        if size > largest:
            left_out.append(f"text beyond the first {size / 1e6:.1f} MB: more than these minutes can learn from")
            break
    if not sides["train"] or not sides["validation"]:
        raise UserError(f"--source {source}: {size} bytes of text are too few to train and to measure on; give more")
    left_out.append("grammar: only the embedded corpus has a grammar to judge sentences by")
    return QuickstartText(sides["train"], sides["validation"], left_out=left_out)
