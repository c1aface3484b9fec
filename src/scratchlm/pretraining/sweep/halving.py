"""Successive halving: many trials with few steps, the best third of them with three times as many, and so on.

After Jamieson and Talwalkar 2015 (arXiv 1502.07943). A trial that goes on is trained anew, with a schedule as long as
its steps: its rate has come down at the end, as in the whole run, which losses in mid-run do not show. ASHA (Li et al.
2018, arXiv 1810.05934) lets a trial go on as soon as it is among the best so far. Here it goes on as soon as nothing
can displace it any more, so that the result does not depend on which process was faster.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

ETA = 3
"""One of this many trials goes on."""
LEAST = 20
"""Fewest steps that trials are compared after."""


@dataclass(frozen=True)
class Round:
    """A stage of the comparison: trials, each trained for as many steps."""

    trials: int
    steps: int


def rounds(trials: int, steps: int) -> list[Round]:
    """Return the rounds from many trials of few steps to one of all steps.

    Where so few steps would be left that nothing is learned, the first rounds are left out.

    >>> rounds(9, 900)
    [Round(trials=9, steps=100), Round(trials=3, steps=300), Round(trials=1, steps=900)]
    """
    counts = [trials]
    while counts[-1] > 1:
        counts.append(max(1, counts[-1] // ETA))
    lengths = [steps // ETA**above for above in range(len(counts) - 1, -1, -1)]
    kept = [index for index, length in enumerate(lengths) if length >= LEAST] or [len(counts) - 1]
    first = kept[0]
    return [Round(trials, lengths[first]), *(Round(counts[index], lengths[index]) for index in kept[1:])]


@dataclass
class Halving:
    """Which trials go on, from the scores known so far. Trials are numbers from 0, lower scores are better."""

    rounds: list[Round]
    scores: dict[tuple[int, int], float] = field(default_factory=dict)
    """By trial and round; infinite for a trial that failed."""
    started: set[tuple[int, int]] = field(default_factory=set)

    def next(self) -> tuple[int, int] | None:
        """Return a trial and the round that it is to be trained for, and count it as started; None where all wait."""
        ready = [
            (trial, round_number)
            for round_number in range(len(self.rounds) - 1, -1, -1)  # later rounds first: what follows waits for them
            for trial in self._entrants(round_number)
            if (trial, round_number) not in self.started
        ]
        for trial, round_number in ready:
            self.started.add((trial, round_number))
            if round_number == 0 or math.isfinite(self.scores[trial, round_number - 1]):
                return trial, round_number
            self.scores[trial, round_number] = math.inf  # it failed before, and fills a place that nobody else takes
        return None

    def add(self, trial: int, round_number: int, score: float) -> None:
        """Take note of a trial's score; one that is not finite has failed."""
        self.scores[trial, round_number] = score if math.isfinite(score) else math.inf

    @property
    def done(self) -> bool:
        """Whether every round has all its scores."""
        wanted = [(round_number, each.trials) for round_number, each in enumerate(self.rounds)]
        return all(sum(at == round_number for _, at in self.scores) == trials for round_number, trials in wanted)

    def order(self) -> list[int]:
        """Return all trials, best first: by the last round that each has ended, then by its score there."""
        known = sorted(self.scores)
        ended = {trial: -1 for trial, _ in known}
        ended |= {
            trial: round_number for trial, round_number in known if math.isfinite(self.scores[trial, round_number])
        }
        return sorted(ended, key=lambda trial: (-ended[trial], self.scores.get((trial, ended[trial]), 0.0), trial))

    def _entrants(self, round_number: int) -> list[int]:
        """Return the trials that are certain to be among those of a round."""
        if round_number == 0:
            return list(range(self.rounds[0].trials))
        places, before = self.rounds[round_number].trials, self.rounds[round_number - 1].trials
        ranked = sorted((score, trial) for (trial, at), score in self.scores.items() if at == round_number - 1)
        unknown = before - len(ranked)  # of whom each may turn out better
        return [trial for place, (_, trial) in enumerate(ranked) if place + unknown < places]
