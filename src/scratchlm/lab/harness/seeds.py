"""Values of several seeds: their mean, with an interval over seeds and test items together.

Another seed gives another network, and other test items give another score. An interval over items, of one network,
leaves out the first, which is often the larger. Here both variances add up, as two independent sources. The variance
over items comes from the interval of each seed, which is not divided by the number of seeds: all are tested on the same
items. That over seeds is the squared standard error of their mean, widened by Student's t, because a bootstrap of five
seeds covers too little: with five, about 84% where it claims 95%.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from scratchlm.base.statistics import standard_error, student_quantile
from scratchlm.lab.harness.outcome import Value


def over_seeds(values: Sequence[Value]) -> Value:
    """Return the mean of one value over seeds, with its interval; the value itself for one seed, or if all are equal.

    A value without an interval over items gets one over seeds alone.
    """
    numbers = [value.value for value in values]
    if len(values) == 1 or all(value == values[0] for value in values):
        return values[0]
    mean = sum(numbers) / len(numbers)
    half = student_quantile(len(numbers)) * standard_error(numbers)
    below = [value.value - value.low for value in values if value.low is not None]
    above = [value.high - value.value for value in values if value.high is not None]
    low, high = (mean - math.hypot(half, _mean(below)), mean + math.hypot(half, _mean(above)))
    share = all(value.share for value in values)
    if share:
        low, high = max(0.0, low), min(1.0, high)
    return Value(mean, low, high, tuple(numbers), share)


def _mean(widths: Sequence[float]) -> float:
    return sum(widths) / len(widths) if widths else 0.0
