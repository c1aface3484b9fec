"""Classifiers that learn nothing from words: the majority baseline, and hand-written rules."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float


class Majority:
    """The majority baseline: it predicts the most frequent class for every text."""

    def __init__(self) -> None:
        self.fractions = np.ones(1)

    def fit(self, texts: Sequence[str], labels: Sequence[int]) -> Majority:
        """Count the classes."""
        counts = np.bincount(labels)
        self.fractions = counts / counts.sum()
        return self

    def predict_proba(self, texts: Sequence[str]) -> Float[np.ndarray, "N C"]:
        """Return the fraction of each class in training, the same for every text."""
        return np.tile(self.fractions, (len(texts), 1))

    def size(self) -> int:
        """Return the bytes of the fractions."""
        return int(self.fractions.nbytes)


class SpamRules:
    """Hand-written rules for spam: keywords of advertising, prices, long numbers.

    Two keywords make a message spam, or one with a number of five digits or more. Class 1 is spam; nothing is learned.
    """

    KEYWORDS = re.compile(
        r"£|\$\d|\b(free|win|won|winner|prize|claim|urgent|cash|award(ed)?|txt|text \w+ to|stop|reply|guaranteed|"
        r"ringtone|tone|nokia|mobile|offer|voucher|www|http|xxx|per (min|msg)|po box|landline|subscri\w+)\b|\b18\+"
    )
    NUMBER = re.compile(r"\b\d{5,}\b")

    def fit(self, texts: Sequence[str], labels: Sequence[int]) -> SpamRules:
        """Learn nothing."""
        return self

    def found(self, text: str) -> set[str]:
        """Return the distinct keywords of spam in a text; `12345` stands for any long number."""
        number = {"12345"} if self.NUMBER.search(text) else set()
        return {match[0] for match in self.KEYWORDS.finditer(text.lower())} | number

    def keywords(self, text: str) -> int:
        """Count the distinct keywords of spam in a text, a long number being one."""
        return len(self.found(text))

    def predict_proba(self, texts: Sequence[str]) -> Float[np.ndarray, "N 2"]:
        """Return probabilities from the count n of keywords: p(spam) = 1 - 0.5 ** (n / 1.5)."""
        spam = 1 - 0.5 ** (np.array([self.keywords(text) for text in texts], np.float64) / 1.5)
        return np.stack([1 - spam, spam], 1)

    def size(self) -> int:
        """Return the bytes of the patterns."""
        return len((self.KEYWORDS.pattern + self.NUMBER.pattern).encode("utf-8"))
