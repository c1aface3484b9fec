"""Batches of few conversations that are seen many times: each time in other words, with other conversations between."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise, takewhile

import numpy as np

from scratchlm.data.batches import PackedBatches
from scratchlm.tokens.chat import Rendered


@dataclass(frozen=True)
class WordingBatches(PackedBatches):
    """Packed conversations; an epoch has each once, in one of its wordings, and some others, all in a new order.

    The wordings of a conversation are taken by turns, in an order that is new whenever all have been seen, and so are
    the others. All of it is a pure function of seed and epoch.
    """

    wordings: Sequence[int] = field(kw_only=True)
    """How many wordings each conversation has; they come first in `samples`, one conversation after the other."""
    others: int = field(kw_only=True)
    """Of the other conversations, which come last in `samples`, how many an epoch has."""

    def _order(self, epoch: int) -> np.ndarray:
        starts = [0, *accumulate(self.wordings)]
        chosen = [
            start + self._turn(number, count, epoch)
            for number, (start, count) in enumerate(zip(starts, self.wordings, strict=False))
        ]
        rest = len(self.samples) - starts[-1]
        places = range(epoch * self.others, (epoch + 1) * self.others) if rest else ()
        chosen += [starts[-1] + self._turn(len(self.wordings), rest, place) for place in places]
        return np.random.default_rng([self.seed, epoch]).permutation(np.array(chosen))

    def _turn(self, number: int, count: int, place: int) -> int:
        """Return what comes at a place of an endless list of permutations of 0 to `count`."""
        return int(np.random.default_rng([self.seed, number, place // count]).permutation(count)[place % count])


def batches_of(packed: PackedBatches) -> int:
    """Return about how many batches hold an epoch: rows are nearly full."""
    room, samples = packed.length - packed.shared, packed.samples
    sizes = [max(0, min(len(sample.ids) - 1, packed.length) - packed.shared) for sample in samples]
    tokens = float(sum(sizes))
    if isinstance(packed, WordingBatches):
        ends = list(accumulate(packed.wordings, initial=0))
        tokens = sum(sum(sizes[a:b]) / (b - a) for a, b in pairwise(ends))
        between = sizes[ends[-1] :]
        tokens += packed.others * sum(between) / max(1, len(between))
    return max(1, round(tokens / (0.95 * room * packed.rows)))


def shared_beginning(samples: Sequence[Rendered]) -> int:
    """Return how many ids all samples begin with, as far as they have no loss and are followed by one without."""
    first, rest = samples[0], samples[1:]
    alike = takewhile(
        lambda at: not first.mask[at + 1] and all(s.ids[at] == first.ids[at] for s in rest),
        range(min(len(sample.ids) for sample in samples) - 1),
    )
    return sum(1 for _ in alike)
