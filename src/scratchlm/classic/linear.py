"""Linear classifiers on counted features: the usual text classification before neural networks.

Counting and optimisation are scikit-learn's. A feature is a word, a word bigram, or a character n-gram, weighted by
TF-IDF (Sparck Jones 1972). Nobody chooses them one by one, unlike the designed features of `designed.py`: each that
occurs in the training texts is taken. The classifier learns a weight for each, and a text's score is the weighted sum
of its features. Joachims 1998 brought support vector machines to text ("Text categorization with support vector
machines").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from scratchlm.weights.linear import LinearModel, LinearSettings, counter, probabilities_of, two_sided


def tfidf_of_words() -> Any:
    """Return scikit-learn's counter of words and word pairs, split at whitespace, weighted by TF-IDF."""
    return counter("words")


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
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_union
        from sklearn.svm import LinearSVC

        parts = [tfidf_of_words()]
        if self.features == "words + characters":
            parts.append(counter("characters"))
        self._columns = make_union(*parts)
        logistic = self.classifier == "logistic"
        kind = LogisticRegression(C=self.C, max_iter=1000) if logistic else LinearSVC(C=self.C)
        kind.set_params(random_state=0)
        self._model = kind.fit(self._columns.fit_transform(texts), labels)
        return self

    def predict_proba(self, texts: Sequence[str]) -> Float[np.ndarray, "N C"]:
        """Return the probability of each class for each text; not calibrated with `svm`."""
        if self.classifier == "logistic":
            return np.asarray(self._model.predict_proba(self._columns.transform(texts)))
        return probabilities_of(self.margins(texts))

    def margins(self, texts: Sequence[str]) -> Float[np.ndarray, "N C"]:
        """Return what scikit-learn's decision function says of each text and class; of two classes 0 and that."""
        return two_sided(np.asarray(self._model.decision_function(self._columns.transform(texts))))

    def kept(self, settings: LinearSettings) -> LinearModel:
        """Return what was learned in the form that a model folder stores; its `vocabularies` are filled in."""
        counters = dict(
            zip(("words", "characters"), (each for _, each in self._columns.transformer_list), strict=False)
        )
        vocabularies = {kind: tuple(each.get_feature_names_out().tolist()) for kind, each in counters.items()}
        idf = {kind: each.idf_ for kind, each in counters.items()}
        settings = replace(settings, vocabularies=vocabularies)
        return LinearModel(settings, idf, self._model.coef_, self._model.intercept_)

    def size(self) -> int:
        """Return the bytes of the features, their IDF values and their weights."""
        names = self._columns.get_feature_names_out()
        numbers = self._model.coef_.nbytes + self._model.intercept_.nbytes + 8 * len(names)
        return int(numbers) + sum(len(name.split("__", 1)[1].encode("utf-8")) for name in names)
