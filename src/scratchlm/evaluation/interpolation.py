"""A network interpolated with n-grams: one model of language made of two.

The probability of a token is the weighted mean of both. Each block of tokens has one weight, learned from the tokens
before the block. So no text is needed to tune it, and no probability depends on a later token.

Source: Jelinek & Mercer 1980, "Interpolated estimation of Markov source parameters from sparse data", whose weights the
EM algorithm finds; here each token is an observation as soon as it has been predicted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from scratchlm.base.memory import require_memory
from scratchlm.classic.ngram_fast import KneserNey
from scratchlm.data.batches import Tokens
from scratchlm.evaluation.bits import HeldOutLoss
from scratchlm.tokens.base import Tokenizer, first_token

BLOCK = 64
"""Tokens with the same weight."""
WORKING_BYTES = 100
"""Memory for each token that is counted, besides the n-grams."""
NGRAM_BYTES = 24
"""Memory of each distinct n-gram."""


@dataclass(frozen=True)
class NgramLoss:
    """The loss of n-grams on a text, and of a network interpolated with them."""

    order: int
    alone: HeldOutLoss
    interpolated: HeldOutLoss
    weight: float
    """Weight of the n-grams after the last token, 0 to 1."""

    def as_dict(self) -> dict[str, float]:
        """Return all figures by name."""
        parts = {"ngrams": self.alone, "interpolated": self.interpolated}
        losses = {
            f"{part}_{name}": getattr(loss, name) for part, loss in parts.items() for name in ("loss", "bits_per_byte")
        }
        return {"ngram_order": self.order, **losses, "ngram_weight": self.weight}


def count_ngrams(training: Tokens, tokenizer: Tokenizer, order: int) -> KneserNey:
    """Count the n-grams of all orders up to `order` in a text, one stream of tokens as a network reads it.

    Raises `UserError` where the machine has too little memory for that.
    """
    size = tokenizer.vocabulary_size
    distinct = sum(min(size**length, len(training)) for length in range(1, order + 1))
    needed = WORKING_BYTES * len(training) + NGRAM_BYTES * distinct
    require_memory(needed, f"counting {order}-grams in {len(training):,} tokens", "give a lower --ngrams, or less data")
    return KneserNey.fit([_as_read(training, tokenizer)], size, order)


def ngram_nats(ngrams: KneserNey, tokenizer: Tokenizer, tokens: Tokens) -> Float[np.ndarray, " T"]:
    """Return the loss of each token of a text by n-grams, in nats.

    Before the first stands the token that begins a text, where the tokenizer has one.
    """
    read = _as_read(tokens, tokenizer)
    return -ngrams.token_log_probabilities(read)[len(read) - len(tokens) :]


def interpolate(
    network: Float[np.ndarray, " T"], ngrams: Float[np.ndarray, " T"]
) -> tuple[Float[np.ndarray, " T"], float]:
    """Return the loss of each token of a text by both together, in nats, and the weight that n-grams end with.

    `network` and `ngrams` are the losses of each alone, in nats. In the first block both weigh the same.
    """
    if len(network) != len(ngrams):
        raise ValueError(f"losses of {len(network):,} tokens and of {len(ngrams):,}: they must be of the same text")
    mixed, trusted, seen = np.empty(len(network)), 1.0, 2.0
    for start in range(0, len(network), BLOCK):
        part, weight = slice(start, start + BLOCK), trusted / seen
        by_ngrams = np.log(weight) - ngrams[part]
        both = np.logaddexp(np.log1p(-weight) - network[part], by_ngrams)
        mixed[part] = -both
        trusted += float(np.exp(by_ngrams - both).sum())  # expected number of tokens that the n-grams predicted
        seen += len(both)
    return mixed, trusted / seen


def ngram_loss(
    nats: Float[np.ndarray, " T"], ngrams: KneserNey, tokenizer: Tokenizer, tokens: Tokens, text_bytes: int
) -> NgramLoss:
    """Score a held-out text by n-grams, and by them and a network whose loss of each token is `nats`."""
    counted = ngram_nats(ngrams, tokenizer, tokens)
    both, weight = interpolate(nats, counted)
    alone, interpolated = (HeldOutLoss(float(each.sum()), len(nats), text_bytes) for each in (counted, both))
    return NgramLoss(ngrams.order, alone, interpolated, weight)


def _as_read(tokens: Tokens, tokenizer: Tokenizer) -> np.ndarray:
    """Return a whole text after the token that begins one, if any."""
    first = first_token(tokenizer)
    ids = tokens.read(0, len(tokens)).astype(np.int64)
    return ids if first is None else np.concatenate([[first], ids])
