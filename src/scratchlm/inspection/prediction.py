"""One prediction of a model: the text before it, and the token that is asked about."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from scratchlm.base.errors import UserError
from scratchlm.generation.language_model import LanguageModel
from scratchlm.inspection.trace import Text, Trace, spelling, trace
from scratchlm.model.decoder import Decoder


@dataclass(frozen=True)
class Prediction:
    """What a model says after a text, and the token in question: the likeliest one, if none is named."""

    model: LanguageModel
    ids: Int[Tensor, "1 T"]
    pieces: list[str]
    target: int
    logits: Float[Tensor, " V"]
    """Of the token after the text."""

    @property
    def decoder(self) -> Decoder:
        """The network that answers."""
        return self.model.answering()[0]

    @property
    def probability(self) -> float:
        """Of the token in question."""
        return float(self.logits.softmax(-1)[self.target])

    def likeliest(self, count: int) -> list[tuple[int, float]]:
        """Return the likeliest next tokens and their probabilities."""
        top = self.logits.softmax(-1).topk(min(count, self.logits.numel()))
        return list(zip(top.indices.tolist(), top.values.tolist(), strict=True))

    def piece(self, id: int) -> str:
        """Return the text of a token."""
        return spelling(self.model.tokenizer, id)

    def watch(self, *want: str) -> Trace:
        """Return values of the forward pass over the text."""
        return trace(self.model, self.ids, want)


def predict(model: LanguageModel, text: Text, target: str | int | None = None) -> Prediction:
    """Read a text and choose the token in question. Raises `UserError` for several texts, or an unknown token."""
    seen = trace(model, text)
    if len(seen.ids) != 1:
        raise UserError(f"{len(seen.ids)} texts: a prediction is of one")
    logits = seen.logits[0, -1].float()
    chosen = int(logits.argmax()) if target is None else one_token(model, target)
    return Prediction(model, seen.ids, seen.pieces[0], chosen, logits)


def one_token(model: LanguageModel, target: str | int) -> int:
    """Return the id of a token; of a text the first one. Raises `UserError` where there is none."""
    if isinstance(target, int):
        size = model.decoder.config.vocabulary_size
        if not 0 <= target < size:
            raise UserError(f"token {target}: the vocabulary has 0 to {size - 1:,}")
        return target
    ids = model.tokenizer.encode(target)
    if not ids:
        raise UserError("a token is asked for, and its text is empty; give one, with the space before a word")
    if len(ids) > 1:
        pieces = [spelling(model.tokenizer, id) for id in ids]
        raise UserError(f"{target!r}: is {len(ids)} tokens, {', '.join(map(repr, pieces))}; give one of them")
    return ids[0]


def log_probability(logits: Float[Tensor, "*batch V"], target: int) -> Float[Tensor, "*batch"]:
    """Return the log-probability of a token in nats."""
    return torch.log_softmax(logits.float(), -1)[..., target]
