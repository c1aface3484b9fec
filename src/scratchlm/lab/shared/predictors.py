"""Language models behind one protocol: n-gram tables and networks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Float

from scratchlm.classic.counted import table_bytes
from scratchlm.classic.ngram import NgramModel
from scratchlm.data.batches import ArrayTokens
from scratchlm.evaluation.bits import token_nats
from scratchlm.evaluation.likelihood import encode_requests, likelihoods
from scratchlm.generation.config import SamplingConfig
from scratchlm.generation.generate import generate_ids
from scratchlm.lab.shared.booktext import BookText
from scratchlm.model.network import CausalLM


class Predictor(Protocol):
    """A trained language model, with the text it was trained on."""

    def nats(self) -> Float[np.ndarray, " N"]:
        """Return the loss of each held-out token, in nats."""

    def log_likelihoods(self, sentences: Sequence[str]) -> list[float]:
        """Return the natural log of the probability of each sentence, as the beginning of a text."""

    def write(self, opening: str, tokens: int, seed: int) -> list[int]:
        """Sample `tokens` tokens after an opening."""

    def size(self) -> int:
        """Return the size in bytes: of the tables, or of the weights in fp32."""


@dataclass(frozen=True)
class Counted:
    """An n-gram model; its context is the document before a token, up to n - 1 tokens."""

    model: NgramModel
    text: BookText

    def nats(self) -> Float[np.ndarray, " N"]:
        """Return the loss of each held-out token, in nats."""
        rows = self.text.documents(self.text.held_out)
        return -np.concatenate([self.model.token_log_probabilities(row)[1:] for row in rows])

    def log_likelihoods(self, sentences: Sequence[str]) -> list[float]:
        """Return the log-likelihood of each sentence."""
        rows = [np.concatenate([[self.text.end], ids]) for ids in self.text.tokenizer.encode_batch(sentences)]
        return [float(self.model.token_log_probabilities(row.astype(np.int64))[1:].sum()) for row in rows]

    def write(self, opening: str, tokens: int, seed: int) -> list[int]:
        """Sample tokens."""
        return self.model.sample([self.text.end, *self.text.tokenizer.encode(opening)], tokens, seed)

    def size(self) -> int:
        """Return the bytes of the tables."""
        return table_bytes(getattr(self.model, "levels", []))


@dataclass(frozen=True)
class Network:
    """A network; it reads windows of its context length, each starting from an empty context."""

    model: CausalLM
    text: BookText

    def nats(self) -> Float[np.ndarray, " N"]:
        """Return the loss of each held-out token, in nats."""
        return token_nats(self.model, self.text.tokenizer, ArrayTokens(self.text.held_out))

    def log_likelihoods(self, sentences: Sequence[str]) -> list[float]:
        """Return the log-likelihood of each sentence."""
        requests = encode_requests(self.text.tokenizer, [("", sentence) for sentence in sentences])
        return [each.nats for each in likelihoods(self.model, requests, rows=64)]

    def write(self, opening: str, tokens: int, seed: int) -> list[int]:
        """Sample tokens."""
        prompt = [self.text.end, *self.text.tokenizer.encode(opening)]
        return list(generate_ids(self.model, prompt, SamplingConfig(max_tokens=tokens, temperature=1.0, seed=seed)))

    def size(self) -> int:
        """Return the bytes of the weights."""
        return 4 * self.model.parameter_count()
