"""Multinomial naive Bayes on word n-grams, the classic spam filter."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float


def word_grams(text: str, longest: int) -> Iterator[str]:
    """Yield the words of a text, in lower case and split at whitespace, then its n-grams of 2 to `longest` words."""
    words = text.lower().split()
    for length in range(1, longest + 1):
        for start in range(len(words) - length + 1):
            yield " ".join(words[start : start + length])


class NaiveBayes:
    """Multinomial naive Bayes: n-grams are independent given the class.

        log p(class | text) = log p(class) + sum over grams of log p(gram | class) + constant
        p(gram | class) = (count in class + alpha) / (all grams in class + alpha * distinct grams)

    N-grams that training never saw are ignored. Source: Manning, Raghavan and Schuetze 2008, "Introduction to
    information retrieval", chapter 13; scikit-learn's MultinomialNB gives the same numbers.
    """

    def __init__(self, longest: int = 2, alpha: float = 0.1) -> None:
        self.longest, self.alpha = longest, alpha
        self.places: dict[str, int] = {}
        self.prior: Float[np.ndarray, " C"] = np.zeros(1)
        self.given: Float[np.ndarray, "C grams"] = np.zeros((1, 0))

    def fit(self, texts: Sequence[str], labels: Sequence[int]) -> NaiveBayes:
        """Count the n-grams of each class."""
        seen = [Counter(word_grams(text, self.longest)) for text in texts]
        self.places = {gram: place for place, gram in enumerate(sorted({gram for each in seen for gram in each}))}
        classes = np.bincount(labels)
        counts = np.zeros((len(classes), len(self.places)))
        for label, grams in zip(labels, seen, strict=True):
            for gram, count in grams.items():
                counts[label, self.places[gram]] += count
        self.prior = np.log(classes / classes.sum())
        smoothed = counts + self.alpha
        self.given = np.log(smoothed / smoothed.sum(1, keepdims=True))
        return self

    def predict_proba(self, texts: Sequence[str]) -> Float[np.ndarray, "N C"]:
        """Return the probability of each class for each text; overconfident, because n-grams are not independent."""
        scores = np.tile(self.prior, (len(texts), 1))
        for row, text in enumerate(texts):
            known = [self.places[gram] for gram in word_grams(text, self.longest) if gram in self.places]
            scores[row] += self.given[:, known].sum(1)
        powers = np.exp(scores - scores.max(1, keepdims=True))
        return powers / powers.sum(1, keepdims=True)

    def size(self) -> int:
        """Return the bytes of the n-grams and their log-probabilities."""
        return sum(len(gram.encode("utf-8")) for gram in self.places) + int(self.given.nbytes + self.prior.nbytes)
