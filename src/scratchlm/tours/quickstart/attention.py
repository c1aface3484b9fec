"""Which words of a question the model attended to when it wrote the key word of its answer."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from scratchlm.generation.language_model import LanguageModel
from scratchlm.inspection.trace import attention_maps
from scratchlm.tours.quickstart.qa_eval import QuizAnswer


@dataclass(frozen=True)
class AnswerAttention:
    """One answer, cut at its key word, and the attention on each word before that one was written.

    Weights are parts of the attention on all earlier tokens, the mean over layers and heads; what is missing from 1
    fell on the chat template's tokens.
    """

    question: list[tuple[str, float]]
    begun: list[tuple[str, float]]
    """The answer up to its key word."""
    key: str
    rest: str
    expected: str
    correct: bool
    layers: int
    heads: int
    """Heads in a layer."""


def answer_attention(model: LanguageModel, answers: Sequence[QuizAnswer]) -> AnswerAttention | None:
    """Return the attention in one answer, a right one that is no guess where there is one. The key word is the last.

    None where no answer holds a word. Costs one forward pass.
    """
    spoken = [answer for answer in answers if re.search(r"\w", answer.given)]
    if not spoken or model.saved.template is None:
        return None
    best = max(spoken, key=lambda answer: (answer.correct and answer.split == "held-in", answer.correct))
    turns = [{"role": "user", "content": best.question}, {"role": "assistant", "content": best.given}]
    ids = model.saved.template.render(turns).ids
    pieces = [model.tokenizer.token_bytes(token) for token in ids]
    ends, text = list(itertools.accumulate(map(len, pieces))), b"".join(pieces)
    answer = text.rindex(best.given.encode())
    key = list(re.finditer(r"[\w'-]*\w", best.given))[-1]
    written = answer + len(best.given[: key.start()].encode())
    writing = next(place for place, end in enumerate(ends) if end > written)  # the token that the key word begins in
    maps = attention_maps(model.decoder, torch.tensor([ids]))
    weights = torch.stack([layer[0, :, writing - 1].mean(0) for layer in maps]).mean(0).tolist()

    def words(shown: str, begin: int) -> list[tuple[str, float]]:
        words_of = []
        for word in re.finditer(r"\S+", shown):
            first, last = (begin + len(shown[:at].encode()) for at in word.span())
            words_of.append((word[0], sum(w for w, end in zip(weights, ends, strict=True) if first < end <= last)))
        return words_of

    shape = model.decoder.config
    return AnswerAttention(
        words(best.question, text.index(best.question.encode())), words(best.given[: key.start()], answer),
        key[0], best.given[key.end() :], best.expected, best.correct, shape.layers, shape.attention.heads,
    )  # fmt: skip
