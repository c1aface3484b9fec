"""BM25, the usual ranking of documents by the words that they share with a query.

A document scores the sum over the query's words of idf * tf (k1 + 1) / (tf + k1 (1 - b + b length / mean length)), with
idf = log(1 + (N - n + 0.5) / (n + 0.5)) for a word that n of N documents have. Counting is scikit-learn's.
Source: Robertson and Zaragoza 2009, "The Probabilistic Relevance Framework: BM25 and Beyond".
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float


class BM25:
    """Documents to be searched."""

    def __init__(self, documents: Sequence[str], k1: float = 1.5, b: float = 0.75) -> None:
        """Count the words of documents, of which at least one must have a word; else scikit-learn's ValueError."""
        from sklearn.feature_extraction.text import CountVectorizer

        self._counter = CountVectorizer(token_pattern=r"\w+")
        counts = self._counter.fit_transform(documents).astype(np.float64).tocoo()
        lengths = np.asarray(counts.sum(axis=1)).ravel()
        having = np.bincount(counts.col, minlength=counts.shape[1])
        idf = np.log1p((counts.shape[0] - having + 0.5) / (having + 0.5))
        norm = k1 * (1 - b + b * lengths / lengths.mean())
        counts.data *= idf[counts.col] * (k1 + 1) / (counts.data + norm[counts.row])
        self._weights = counts.tocsr()

    def scores(self, queries: Sequence[str]) -> Float[np.ndarray, "Q N"]:
        """Return the score of each document for each query; a word that a query repeats counts once."""
        return np.asarray(((self._counter.transform(queries) > 0).astype(np.float64) @ self._weights.T).todense())

    def nearest(self, queries: Sequence[str]) -> list[int]:
        """Return the number of the highest-scoring document for each query, the first of equals."""
        return self.scores(queries).argmax(axis=1).tolist()
