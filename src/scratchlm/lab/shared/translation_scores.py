"""Scores of translations: chrF of each sentence, and BLEU of all, with intervals over groups of sentences.

BLEU is no mean over sentences. Its counts are sums over them, so resampled groups of sentences give its interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from scratchlm.base.statistics import Comparison, compare_statistics
from scratchlm.lab.harness.outcome import Value

Counts = Int[ndarray, "N 10"]
"""A row a sentence: matching n-grams of 1 to 4 words, all n-grams of 1 to 4 words, its words, the reference's words."""


def scored(written: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, Any]:
    """Return the chrF and the BLEU counts of each sentence, one of several references being enough, and both scores."""
    from sacrebleu import BLEU, CHRF

    # Counts do not depend on effective_order, which only silences a warning about scores of sentences.
    chrf, counter = CHRF(), BLEU(effective_order=True)
    each = [chrf.sentence_score(text, refs).score for text, refs in zip(written, references, strict=True)]
    counts = []
    for text, refs in zip(written, references, strict=True):
        result = counter.sentence_score(text, refs)
        counts.append([*result.counts, *result.totals, result.sys_len, result.ref_len])
    return {
        "chrf": float(np.mean(each)),
        "bleu": _score(np.array(counts).sum(0)),
        "each": [round(float(score), 6) for score in each],
        "counts": counts,
    }


def bleu(counts: Counts, clusters: Sequence[int]) -> Value:
    """Return BLEU with its interval over clusters of sentences."""
    sums = _by_cluster(counts, clusters)
    compared = compare_statistics(len(sums), lambda places: _score(sums[places].sum(0)))
    return Value(compared.difference, *compared.interval)


def bleu_gain(below: Counts, above: Counts, clusters: Sequence[int]) -> Comparison:
    """Return how much higher the second BLEU is, on the same sentences."""
    first, second = (_by_cluster(counts, clusters) for counts in (below, above))
    return compare_statistics(len(first), lambda places: _score(second[places].sum(0)) - _score(first[places].sum(0)))


def _by_cluster(counts: Counts, clusters: Sequence[int]) -> Int[ndarray, "C 10"]:
    numbers = np.unique(np.array(clusters), return_inverse=True)[1]
    sums = np.zeros((numbers.max() + 1, counts.shape[1]), np.int64)
    np.add.at(sums, numbers, counts)
    return sums


def _score(sums: Int[ndarray, " 10"]) -> float:
    from sacrebleu import BLEU

    matches, totals, (words, reference) = (part.tolist() for part in (sums[:4], sums[4:8], sums[8:]))
    return float(BLEU.compute_bleu(matches, totals, words, reference, smooth_method="exp").score)
