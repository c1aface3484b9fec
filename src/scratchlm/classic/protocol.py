"""What a classifier of texts can do, whatever it is made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np
from jaxtyping import Float

T = TypeVar("T", bound="TextClassifier")


@runtime_checkable
class TextClassifier(Protocol):
    """Learns from texts and the numbers of their classes, and tells how likely each class of a text is."""

    def fit(self: T, texts: Sequence[str], labels: Sequence[int]) -> T:
        """Learn, forgetting what was learned before; return itself. Classes are numbered from 0 without gaps."""

    def predict_proba(self, texts: Sequence[str]) -> Float[np.ndarray, "N C"]:
        """Return the probability of each class of each text; each row sums to 1."""

    def size(self) -> int:
        """Return the bytes of what was learned: numbers and the words they belong to."""
