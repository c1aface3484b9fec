"""A language model as a zero-shot classifier: the likelihoods of fixed answers decide. It is not trained."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from scratchlm.evaluation.likelihood import Request, encode_requests, likelihoods
from scratchlm.lab.shared.fine_tuned import conversation_of
from scratchlm.weights.checkpoint import SavedModel


class ZeroShotClassifier:
    """A zero-shot classifier: it puts each text into a question and compares the likelihoods of one answer per class.

    A model with a chat template is asked in a conversation, any other in plain text.
    """

    def __init__(self, model: SavedModel, question: str, answers: Sequence[str], longest: int = 600) -> None:
        """Take a question with `{text}` in it; texts are cut to `longest` characters."""
        self.model, self.question, self.answers, self.longest = model, question, answers, longest

    def fit(self, texts: Sequence[str], labels: Sequence[int]) -> ZeroShotClassifier:
        """Return the model unchanged."""
        return self

    def predict_proba(self, texts: Sequence[str]) -> Float[np.ndarray, "N C"]:
        """Return the probability of each answer, normalised over the answers."""
        questions = [self.question.format(text=text[: self.longest]) for text in texts]
        tokenizer, template = self.model.tokenizer, self.model.template
        if template is None:
            pairs = [(f"{question}\nAnswer:", f" {answer}") for question in questions for answer in self.answers]
            requests = encode_requests(tokenizer, pairs)
        else:
            answers = [tuple(map(int, tokenizer.encode(answer))) for answer in self.answers]
            turns = [tuple(template.render(conversation_of(question), reply=True).ids) for question in questions]
            requests = [Request(turn, answer) for turn in turns for answer in answers]
        found = likelihoods(self.model.decoder, requests)
        nats = np.array([each.nats for each in found]).reshape(len(texts), len(self.answers))
        powers = np.exp(nats - nats.max(1, keepdims=True))
        return powers / powers.sum(1, keepdims=True)

    def size(self) -> int:
        """Return the bytes of the weights, in fp32."""
        return 4 * self.model.decoder.parameter_count()
