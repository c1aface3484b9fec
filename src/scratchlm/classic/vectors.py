"""Word vectors by skip-gram with negative sampling (word2vec): words in similar contexts get similar vectors.

Each word has two vectors, one as the centre word and one as a context word. For each pair that occurs together the dot
product of the two is increased, and for k negative samples it is decreased:

    loss = -log s(u_o . v_c) - sum over k samples of log s(-u_k . v_c),   s(x) = 1 / (1 + exp(-x))

The gradient is written out. Source: Mikolov et al. 2013, "Distributed representations of words and phrases and their
compositionality" (arXiv 1310.4546): negatives by counts to the power 3/4, frequent words subsampled.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from scratchlm.base.errors import UserError, nearest


class WordVectors:
    """Words with a vector each."""

    def __init__(self, words: Sequence[str], vectors: Float[np.ndarray, "V D"]) -> None:
        self.words, self.vectors = list(words), vectors
        self._places = {word: place for place, word in enumerate(self.words)}
        self._unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)

    def similarity(self, one: str, other: str) -> float:
        """Return the cosine similarity of two words. Raises `UserError` for a word without a vector."""
        return float(self._unit[self._place(one)] @ self._unit[self._place(other)])

    def nearest(self, word: str, count: int = 5) -> list[tuple[str, float]]:
        """Return the words nearest to `word`, with their cosine similarities, without the word itself."""
        place = self._place(word)
        cosines = self._unit @ self._unit[place]
        cosines[place] = -np.inf
        best = np.argsort(-cosines, kind="stable")[:count]
        return [(self.words[at], float(cosines[at])) for at in best]

    def _place(self, word: str) -> int:
        if word not in self._places:
            raise UserError(f"{word!r}: has no vector; {nearest(word, self.words)}")
        return self._places[word]


@dataclass(frozen=True)
class Word2VecConfig:
    """Settings of `learn_vectors`."""

    width: int = 64
    """Numbers of a vector."""
    window: int = 4
    """Most words between a centre word and its context words, on each side."""
    negatives: int = 5
    """Negative samples of each pair."""
    epochs: int = 5
    learning_rate: float = 0.05
    """At first; it decays linearly to zero."""
    min_count: int = 5
    """Least number of times that a word with a vector occurs."""
    subsample: float = 1e-3
    """Words of a frequency f above it are dropped with probability 1 - sqrt(subsample / f)."""
    seed: int = 0


def learn_vectors(sentences: Sequence[Sequence[str]], config: Word2VecConfig | None = None) -> WordVectors:
    """Learn a vector for each word that occurs `min_count` times. `UserError` where fewer than two do."""
    config = config or Word2VecConfig()
    least, width, epochs = config.min_count, config.width, config.epochs
    counts = Counter(word for sentence in sentences for word in sentence)
    words = [word for word, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])) if count >= least]
    if len(words) < 2:
        raise UserError(f"min_count {least}: {len(words)} words occur so often; give more text, or lower it")
    places = {word: place for place, word in enumerate(words)}
    rows = [np.array([places[word] for word in sentence if word in places]) for sentence in sentences]
    frequency = np.array([counts[word] for word in words], np.float64)
    keep = np.minimum(1.0, np.sqrt(config.subsample / (frequency / frequency.sum())))
    noise = np.cumsum(frequency**0.75 / (frequency**0.75).sum())
    draw = np.random.default_rng(config.seed)
    # The gradients of a block are summed. With few words a block repeats each word often, so blocks are small then.
    size = min(max(len(words) // 4, 1), 512)
    middle = (draw.random((len(words), width)) - 0.5) / width
    beside = np.zeros((len(words), width))
    for epoch in range(epochs):
        pairs = _pairs(rows, keep, config.window, draw)
        blocks = np.array_split(draw.permutation(pairs), max(1, len(pairs) // size))
        for number, block in enumerate(blocks):
            lr = config.learning_rate * (1 - (epoch + number / len(blocks)) / epochs)
            drawn = np.searchsorted(noise, draw.random((len(block), config.negatives)))
            step(middle, beside, block[:, 0], np.column_stack([block[:, 1], drawn]), lr)
    return WordVectors(words, middle)


def _pairs(
    rows: Sequence[np.ndarray], keep: Float[np.ndarray, " V"], window: int, draw: np.random.Generator
) -> Int[np.ndarray, "P 2"]:
    """Return pairs of a centre and a context word within a random window, after subsampling of frequent words."""
    pairs = [np.zeros((0, 2), np.int64)]
    for row in rows:
        kept = row[draw.random(len(row)) < keep[row]] if len(row) else row
        reach = draw.integers(1, window + 1, size=len(kept))
        for distance in range(1, min(window, len(kept) - 1) + 1):
            left, right = kept[:-distance], kept[distance:]
            pairs.append(np.column_stack([left, right])[reach[:-distance] >= distance])
            pairs.append(np.column_stack([right, left])[reach[distance:] >= distance])
    return np.concatenate(pairs)


def step(
    middle: Float[np.ndarray, "V D"],
    beside: Float[np.ndarray, "V D"],
    centres: Int[np.ndarray, " P"],
    others: Int[np.ndarray, "P K"],
    lr: float,
) -> None:
    """Take an SGD step on both tables in place; column 0 of `others` is the context word, the rest are negatives."""
    v, u = middle[centres], beside[others]  # (P, D), (P, K, D)
    wanted = np.zeros(others.shape)
    wanted[:, 0] = 1.0
    error = 1 / (1 + np.exp(-np.einsum("pd,pkd->pk", v, u))) - wanted  # gradient of the loss by each dot product
    for_v = np.einsum("pk,pkd->pd", error, u)
    for_u = error[..., None] * v[:, None]
    np.add.at(middle, centres, -lr * for_v)
    np.add.at(beside, others, -lr * for_u)
