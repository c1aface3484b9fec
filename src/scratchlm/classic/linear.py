"""Linear classifiers on counted features: the usual text classification before neural networks.

Counting and optimisation are scikit-learn's. A feature is a word, a word bigram, or a character n-gram, weighted by
TF-IDF (Sparck Jones 1972). Nobody chooses them one by one, unlike the designed features of `designed.py`: each that
occurs in the training texts is taken. The classifier learns a weight for each, and a text's score is the weighted sum
of its features. Joachims 1998 brought support vector machines to text ("Text categorization with support vector
machines").
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from jaxtyping import Float


def tfidf_of_words() -> Any:
    """Return scikit-learn's counter of words and word pairs, split at whitespace, weighted by TF-IDF."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"\S+")


class LinearTexts:
    """TF-IDF features and a linear classifier.

    `words`: word unigrams and bigrams. `words + characters`: also character n-grams of 2 to 5 characters inside words,
    by which "FR33" is similar to "FREE". `logistic` gives probabilities; the margins of `svm` go through a sigmoid
    (softmax for more than two classes), which keeps their order but is not calibrated.
    """

    def __init__(
        self,
        features: Literal["words", "words + characters"] = "words + characters",
        classifier: Literal["logistic", "svm"] = "svm",
        C: float = 10.0,
    ) -> None:
        """Choose features and classifier; `C` is scikit-learn's, the inverse of the regularisation strength."""
        self.features, self.classifier, self.C = features, classifier, C
        self._columns: Any = None
        self._model: Any = None

    def fit(self, texts: Sequence[str], labels: Sequence[int]) -> LinearTexts:
        """Learn vocabulary and weights."""
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_union
        from sklearn.svm import LinearSVC

        parts = [tfidf_of_words()]
        if self.features == "words + characters":
            parts.append(TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True))
        self._columns = make_union(*parts)
        logistic = self.classifier == "logistic"
        kind = LogisticRegression(C=self.C, max_iter=1000) if logistic else LinearSVC(C=self.C)
        kind.set_params(random_state=0)
        self._model = kind.fit(self._columns.fit_transform(texts), labels)
        return self

    def predict_proba(self, texts: Sequence[str]) -> Float[np.ndarray, "N C"]:
        """Return the probability of each class for each text; not calibrated with `svm`."""
        table = self._columns.transform(texts)
        if self.classifier == "logistic":
            return np.asarray(self._model.predict_proba(table))
        margins = self._model.decision_function(table)
        if margins.ndim == 1:
            positive = 1 / (1 + np.exp(-margins))
            return np.stack([1 - positive, positive], 1)
        powers = np.exp(margins - margins.max(1, keepdims=True))
        return powers / powers.sum(1, keepdims=True)

    def size(self) -> int:
        """Return the bytes of the features, their IDF values and their weights."""
        names = self._columns.get_feature_names_out()
        numbers = self._model.coef_.nbytes + self._model.intercept_.nbytes + 8 * len(names)
        return int(numbers) + sum(len(name.split("__", 1)[1].encode("utf-8")) for name in names)
