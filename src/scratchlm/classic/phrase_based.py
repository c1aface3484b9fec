"""A phrase-based translator: a phrase table, an n-gram model of the target language, and a beam search.

A sentence is translated phrase by phrase, in any order, so that each source word is translated once. A hypothesis, the
beginning of a translation, is scored by a weighted sum of features. `tune` chooses the weights on pairs that were not
trained on, as minimum error rate training does: translate with many alternatives, find weights whose best alternatives
score highest, repeat. Sources: Koehn, Och and Marcu 2003, "Statistical phrase-based translation"; Och 2003, "Minimum
error rate training in statistical machine translation"; Koehn 2010, "Statistical machine translation", chapter 6.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from scratchlm.classic.alignment import words_of
from scratchlm.classic.ngram import PlainKneserNey
from scratchlm.classic.phrases import Option, Words, learn_phrases
from scratchlm.classic.wordforword import joined, most_frequent_cases

LANGUAGE, JUMPS = 0, 7
FEATURES = ("language model", "p(f | e)", "p(e | f)", "words of f", "words of e", "phrases", "words", "jumps")
"""What a translation is scored by: natural log-probabilities, then counts."""
BEGIN_WEIGHTS = (1.0, 0.2, 0.2, 0.2, 0.2, -0.2, 0.5, -0.3)
"""Weights before tuning."""
_BEFORE, _AFTER, _UNSEEN, _FIRST = range(4)
"""Ids of the language model: before a sentence, after it, for any word that it never saw, and of the first word."""
UNKNOWN = -10.0
"""Log-probability of a copy of a word that the table does not hold."""
Score = Callable[[str, str], float]
"""Function that scores a translation against its reference; higher is better."""
Span = tuple[int, int]


@dataclass(frozen=True)
class PartialTranslation:
    """The beginning of a translation."""

    covered: int
    """The source words that are translated, a bit each."""
    end: int
    """Source position after the last phrase."""
    recent: tuple[int, ...]
    """Ids of the last words, which the language model looks at."""
    score: float
    """Weighted features so far."""
    expected: float
    """The same with an estimate of what is left."""
    before: PartialTranslation | None = None
    option: Option | None = None
    likely: float = 0.0
    """Log-probability of the last phrase's words by the language model."""
    jump: int = 0

    def words(self) -> Words:
        """Return all words so far."""
        return () if self.before is None or self.option is None else self.before.words() + self.option.words

    def features(self) -> Float[ndarray, " F"]:
        """Return the features of all phrases so far."""
        if self.before is None or self.option is None:
            return np.zeros(len(FEATURES))
        own = (self.likely, *self.option[1:], 1.0, len(self.option.words), self.jump)
        return self.before.features() + np.array(own)


class PhraseBased:
    """A translator learned from pairs of sentences; words get their most frequent case, as in `WordForWord`."""

    def __init__(
        self, pairs: Sequence[tuple[str, str]], rounds: int = 5, longest: int = 5, order: int = 3, beam: int = 20,
        reach: int = 4,
    ) -> None:  # fmt: skip
        """Learn the phrase table, of phrases of up to `longest` words, and the language model of `order`.

        `beam` is the number of hypotheses kept for each number of translated words, `reach` the farthest jump. Raises
        `UserError` where no pair has words on both sides.
        """
        split = [(words_of(e), words_of(f)) for e, f in pairs]
        self.table = learn_phrases(split, rounds, longest)
        self.cases = most_frequent_cases(f for _, f in pairs)
        self.ids = {word: number for number, word in enumerate(sorted({word for _, f in split for word in f}), _FIRST)}
        self.begin = (_BEFORE,) * (order - 1)
        rows = [[*self.begin, *(self.ids[word] for word in f), _AFTER] for _, f in split]
        self.language = PlainKneserNey.fit(rows, len(self.ids) + _FIRST, order)
        self.weights: tuple[float, ...] = BEGIN_WEIGHTS
        self.longest, self.beam, self.reach = longest, beam, reach
        self._known: dict[tuple[int, ...], float] = {}

    def translate(self, text: str) -> str:
        """Translate a sentence; unseen words are copied. A text without words comes back empty."""
        best = self.search(words_of(text))
        return self.written(best[0].words()) if best else ""

    def written(self, words: Sequence[str]) -> str:
        """Return words as a sentence, in their most frequent case."""
        return joined([self.cases.get(word, word) for word in words])

    def size(self) -> int:
        """Return the bytes of what was learned: words, four probabilities each phrase pair, cases and n-grams."""
        table = [(source, option.words) for source, options in self.table.items() for option in options]
        words = sum(len(word.encode()) for source, target in table for word in (*source, *target))
        grams = sum(len(after.counts) + 2 for after in self.language.followers.values())
        return words + 32 * len(table) + 8 * grams + sum(2 * len(word.encode()) for word in self.cases.values())

    def search(self, e: Sequence[str], best: int = 1) -> list[PartialTranslation]:
        """Return the `best` complete hypotheses that the beam search finds, the highest score first.

        Hypotheses that cover equally many words compete. Of two with the same future, which cover the same words, end
        at the same place and have the same last words, the worse one is dropped.
        """
        options = self.options(e)
        left = self._left(len(e), options)
        stacks: list[dict[tuple[int, int, tuple[int, ...]], PartialTranslation]] = [{} for _ in e]
        finished: list[PartialTranslation] = []
        if e:
            stacks[0][0, 0, self.begin] = PartialTranslation(0, 0, self.begin, 0.0, 0.0)
        for stack in stacks:
            for before in heapq.nlargest(self.beam, stack.values(), key=lambda each: each.expected):
                for span, scored in options.items():
                    mask = (1 << span[1]) - (1 << span[0])
                    jump = abs(span[0] - before.end)
                    if before.covered & mask or jump > self.reach:
                        continue
                    covered = before.covered | mask
                    complete = covered.bit_count() == len(e)
                    rest = 0.0 if complete else _rest(covered, len(e), left)
                    for option, worth in scored:
                        after = self._extended(before, span[1], covered, (option, worth), jump, rest, complete)
                        if complete:
                            finished.append(after)
                            continue
                        key = (covered, after.end, after.recent)
                        there = stacks[covered.bit_count()]
                        if key not in there or there[key].score < after.score:
                            there[key] = after
        return heapq.nlargest(best, finished, key=lambda each: each.score)

    def _extended(
        self, before: PartialTranslation, end: int, covered: int, scored: tuple[Option, float], jump: int, rest: float,
        complete: bool,
    ) -> PartialTranslation:  # fmt: skip
        option, worth = scored
        likely, recent = self.likely(option.words, before.recent, complete)
        score = before.score + worth + self.weights[LANGUAGE] * likely + self.weights[JUMPS] * jump
        return PartialTranslation(covered, end, recent, score, score + rest, before, option, likely, jump)

    def likely(self, words: Words, recent: tuple[int, ...], complete: bool) -> tuple[float, tuple[int, ...]]:
        """Return the log-probability of words after the recent ones, and what is recent then."""
        total, ids = 0.0, [self.ids.get(word, _UNSEEN) for word in words]
        for id in [*ids, _AFTER] if complete else ids:
            gram = (*recent, id)
            if gram not in self._known:
                self._known[gram] = math.log(self.language.probability(id, recent))
            total += self._known[gram]
            recent = gram[-len(self.begin) :] if self.begin else ()
        return total, recent

    def options(self, e: Sequence[str]) -> dict[Span, list[tuple[Option, float]]]:
        """Return the translations of each span of e, each with its weighted features but language model and jumps."""
        weights = self.weights[LANGUAGE + 1 : JUMPS]
        choices = {}
        for start in range(len(e)):
            for end in range(start + 1, min(start + self.longest, len(e)) + 1):
                known = self.table.get(tuple(e[start:end]))
                if known is None and end == start + 1:
                    known = [Option((e[start],), *[UNKNOWN] * 4)]
                choices[start, end] = [
                    (each, math.fsum(w * x for w, x in zip(weights, (*each[1:], 1, len(each.words)), strict=True)))
                    for each in known or []
                ]
        return {span: scored for span, scored in choices.items() if scored}

    def _left(self, length: int, options: dict[Span, list[tuple[Option, float]]]) -> dict[Span, float]:
        """Return an estimate of the best score of each span's translation, without what stands before it and jumps."""
        best = {
            span: max(worth + self.weights[LANGUAGE] * self.likely(each.words, (), False)[0] for each, worth in scored)
            for span, scored in options.items()
        }
        for size in range(2, length + 1):
            for start in range(length - size + 1):
                end = start + size
                parts = [best[start, middle] + best[middle, end] for middle in range(start + 1, end)]
                best[start, end] = max(best.get((start, end), -math.inf), *parts)
        return best

    def tune(
        self, pairs: Sequence[tuple[str, str]], score: Score, rounds: int = 3, best: int = 50, seed: int = 0
    ) -> None:
        """Choose the weights by the mean score of pairs that were not trained on; `best` alternatives each a round."""
        draw = np.random.default_rng(seed)
        candidates: list[dict[Words, tuple[Float[ndarray, " F"], float]]] = [{} for _ in pairs]
        for _ in range(rounds):
            for known, (e, f) in zip(candidates, pairs, strict=True):
                for each in self.search(words_of(e), best):
                    if (words := each.words()) not in known:
                        known[words] = (each.features(), score(self.written(words), f))
            kept = [known.values() for known in candidates if known]
            features = [np.array([each for each, _ in values]) for values in kept]
            scores = [np.array([each for _, each in values]) for values in kept]
            self.weights = tuple(best_weights(features, scores, np.array(self.weights), draw).tolist())

    @classmethod
    def tuned(
        cls, pairs: Sequence[tuple[str, str]], held_out: int, score: Score, rounds: int = 5, beam: int = 20
    ) -> PhraseBased:
        """Return a translator learned from all pairs, with weights that are tuned on the last `held_out` of them.

        The weights are tuned with phrases of the other pairs alone, and at most a fifth of the pairs is held out.
        """
        count = max(1, min(held_out, len(pairs) // 5))
        other = cls(pairs[:-count], rounds, beam=beam)
        other.tune(pairs[-count:], score)
        model = cls(pairs, rounds, beam=beam)
        model.weights = other.weights
        return model


def best_weights(
    features: Sequence[Float[ndarray, "_ F"]], scores: Sequence[Float[ndarray, " _"]], start: Float[ndarray, " F"],
    draw: np.random.Generator,
) -> Float[ndarray, " F"]:  # fmt: skip
    """Return weights whose best alternatives have the highest mean score, found one weight at a time (Och 2003).

    `features` and `scores` hold a row for each alternative of a sentence. The search begins from `start`, and from
    three random places around it.
    """
    best, highest = start, -math.inf
    for number in range(4):
        weights = start + draw.normal(0, 0.3, len(start)) if number else start
        reached, before = -math.inf, None
        while reached != before:
            before = reached
            for at in range(len(weights)):
                value, reached = best_value(features, scores, weights, at)
                weights = np.where(np.arange(len(weights)) == at, value, weights)
        if reached > highest + 1e-9:
            best, highest = weights, reached
    return best


def best_value(
    features: Sequence[Float[ndarray, "_ F"]], scores: Sequence[Float[ndarray, " _"]], weights: Float[ndarray, " F"],
    at: int,
) -> tuple[float, float]:  # fmt: skip
    """Return the best value of one weight, and the mean score there.

    Each alternative's weighted sum is a line in that weight, and the highest line is chosen. So the score changes only
    where two lines of a sentence cross on top of all others; between two crossings it is constant.
    """
    changes: list[tuple[float, float]] = []
    score = 0.0
    for each, of in zip(features, scores, strict=True):
        slopes = each[:, at]
        lines = _highest_lines(each @ weights - slopes * weights[at], slopes)
        score += of[lines[0][1]]
        changes += [(crossing, of[line] - of[before]) for (_, before), (crossing, line) in pairwise(lines)]
    changes.sort()
    edges = [changes[0][0] - 2 if changes else weights[at] - 1, *(x for x, _ in changes)]
    edges.append(edges[-1] + 2 if changes else weights[at] + 1)
    best, value = -math.inf, float(weights[at])
    for (low, high), change in zip(pairwise(edges), [0.0, *(change for _, change in changes)], strict=True):
        score += change
        inside = low <= weights[at] <= high
        if high > low and (score > best + 1e-9 or (inside and score > best - 1e-9)):  # of equals, where it is now
            best, value = score, float(weights[at]) if inside else (low + high) / 2
    return value, best / len(features)


def _highest_lines(heights: Float[ndarray, " N"], slopes: Float[ndarray, " N"]) -> list[tuple[float, int]]:
    """Return the lines that are the highest of all somewhere, from left to right, each with where it begins to be."""
    highest: list[tuple[float, int]] = []
    for line in np.lexsort((heights, slopes)):
        begins = -math.inf
        while highest:
            begins_last, last = highest[-1]
            if slopes[line] == slopes[last]:  # parallel: this one is as high or higher
                highest.pop()
                continue
            begins = (heights[last] - heights[line]) / (slopes[line] - slopes[last])
            if begins > begins_last:
                break
            highest.pop()
        highest.append((begins if highest else -math.inf, int(line)))
    return highest


def _rest(covered: int, length: int, left: dict[Span, float]) -> float:
    """Return the estimate of all spans that are not translated yet."""
    total, start = 0.0, None
    for at in range(length + 1):
        if at < length and not covered >> at & 1:
            start = at if start is None else start
        elif start is not None:
            total, start = total + left[start, at], None
    return total
