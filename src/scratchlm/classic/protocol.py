"""The interface of text classifiers, close to scikit-learn's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np
from jaxtyping import Float

T = TypeVar("T", bound="TextClassifier")


@runtime_checkable
class TextClassifier(Protocol):
    """Learns from texts and class indices; returns class probabilities of texts."""

    def fit(self: T, texts: Sequence[str], labels: Sequence[int]) -> T:
        """Train from scratch and return itself. Class indices go from 0 to C - 1 without gaps."""

    def predict_proba(self, texts: Sequence[str]) -> Float[np.ndarray, "N C"]:
        """Return the probability of each class for each text; each row sums to 1."""

    def size(self) -> int:
        """Return the bytes of what was learned: parameters and vocabulary."""
