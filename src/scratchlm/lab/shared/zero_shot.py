"""A language model that is only asked: which answer to a question about a text is likelier. It learns nothing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from scratchlm.evaluation.likelihood import Request, encode_requests, likelihoods
from scratchlm.lab.shared.fine_tuned import asked
from scratchlm.weights.checkpoint import SavedModel


class AskedModel:
    """Puts each text into a question and compares the likelihoods of the answers, one for each class (zero-shot).

    A model that has learned conversations is asked in one, any other in running text.
    """

    def __init__(self, model: SavedModel, question: str, answers: Sequence[str], longest: int = 600) -> None:
        """Take a question with `{text}` in it; of a text of more than `longest` characters the end is cut."""
        self.model, self.question, self.answers, self.longest = model, question, answers, longest

    def fit(self, texts: Sequence[str], labels: Sequence[int]) -> AskedModel:
        """Learn nothing."""
        return self

    def predict_proba(self, texts: Sequence[str]) -> Float[np.ndarray, "N C"]:
        """Return the probability of each answer, those of all answers together being 1."""
        questions = [self.question.format(text=text[: self.longest]) for text in texts]
        found = likelihoods(self.model.decoder, self._requests(questions))
        nats = np.array([each.nats for each in found]).reshape(len(texts), len(self.answers))
        powers = np.exp(nats - nats.max(1, keepdims=True))
        return powers / powers.sum(1, keepdims=True)

    def size(self) -> int:
        """Return the bytes of the weights, in fp32."""
        return 4 * self.model.decoder.parameter_count()

    def _requests(self, questions: Sequence[str]) -> list[Request]:
        tokenizer, template = self.model.tokenizer, self.model.template
        if template is None:
            pairs = [(f"{question}\nAnswer:", f" {answer}") for question in questions for answer in self.answers]
            return encode_requests(tokenizer, pairs)
        answers = [tuple(map(int, tokenizer.encode(answer))) for answer in self.answers]
        turns = [tuple(template.render(asked(question), reply=True).ids) for question in questions]
        return [Request(turn, answer) for turn in turns for answer in answers]
