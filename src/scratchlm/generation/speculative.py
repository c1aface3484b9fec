"""Speculative decoding: cheap guesses of the next tokens, which the model checks together in one step.

A step with several tokens of one text takes little longer than one with a single token, because both read all weights
once. So each guess that is right saves a step, and one that is wrong costs little. The output stays as it is.

How little depends on the model and the processor: with integer products, four rows can cost nearly three times as much
as one. So `WhileFaster` measures both ways, and lets a drafter guess only while that writes more tokens a second.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence

from scratchlm.base.errors import UserError
from scratchlm.generation.config import SamplingConfig
from scratchlm.generation.engine import Engine
from scratchlm.generation.requests import Drafter, Request
from scratchlm.model.decoder import Decoder

LONGEST, SHORTEST = 4, 2
"""Tokens at the end of a text that are looked for further up."""
GUESSES = 3
"""Tokens that are proposed at once: with the newest one they fill four rows of a step."""
COMPARED = 6
"""Steps with guesses, and steps without, whose speeds are compared."""
FEWEST, CLEARLY = 3, 0.75
"""Steps with guesses that are enough where they write less than this share of the tokens a second."""
LEAST = 1e-9
"""Seconds of a step that no clock saw pass."""
FIRST_PAUSE, LONGEST_PAUSE = 32, 512
"""Steps without guesses after a comparison that guessing lost; each loss in a row doubles them."""


class PromptLookup:
    """Proposes what followed the last tokens of the text where they stood before: for texts that quote their prompt.

    Source: A. Saxena 2023, "Prompt Lookup Decoding", the `prompt_lookup_num_tokens` of transformers.
    """

    def __init__(self, guesses: int = GUESSES) -> None:
        self.guesses = guesses
        self._ids: list[int] = []
        self._after: dict[tuple[int, ...], int] = {}
        """Where the newest occurrence of some tokens ends, the end of the text left out."""

    def propose(self, ids: Sequence[int], most: int) -> list[int]:
        """Return what followed the longest end of `ids` that stood there before."""
        self._read(ids)
        for size in range(LONGEST, SHORTEST - 1, -1):
            place = self._after.get(tuple(ids[-size:])) if len(ids) > size else None
            if place is not None:
                return list(ids[place : place + min(self.guesses, most)])
        return []

    def _read(self, ids: Sequence[int]) -> None:
        """Note the places of all tokens but those at the very end, which is what is looked for."""
        known = len(self._ids)
        if list(ids[:known]) != self._ids:
            self._after, known = {}, 0
        for end in range(max(known, SHORTEST), len(ids)):
            for size in range(SHORTEST, min(LONGEST, end) + 1):
                self._after[tuple(ids[end - size : end])] = end
        self._ids = list(ids)


class DraftModel:
    """Proposes the likeliest tokens of a smaller model with the same tokenizer."""

    def __init__(self, draft: Decoder, guesses: int = GUESSES, *, compiled: bool = False) -> None:
        self._engine, self.guesses = Engine(draft, rows=1, compiled=compiled), guesses

    def propose(self, ids: Sequence[int], most: int) -> list[int]:
        """Return how the smaller model goes on; nothing where the text fills its context."""
        size = min(self.guesses, most, self._engine.context - len(ids))
        if size <= 0:
            return []
        request = Request(ids, SamplingConfig(max_tokens=size, temperature=0.0))
        try:
            self._engine.finish([request])
        except UserError:  # ids that it does not have, or a training that diverged: no guess
            return []
        return request.new


class WhileFaster:
    """Lets a drafter guess while steps with guesses write more tokens a second than steps without.

    A step lasts from one call to the next, the drafter's own time included; its tokens are those by which the text
    has grown. The first steps go without guesses, for the comparison. Where guessing is slower, it pauses, and is
    then tried again, since a text may come to a part that is easy to guess. The very first step, which may compile,
    is left out. Guessing that is much slower is given up after three steps. What is compared are the tokens of a
    kind's last steps, over their number times the median of their seconds.
    """

    def __init__(self, drafter: Drafter, clock: Callable[[], float] = time.perf_counter) -> None:
        self._drafter, self._clock = drafter, clock
        self._last: tuple[float, int, bool] | None = None
        """When the last step began, how long the text was, and whether it had guesses."""
        self._steps: dict[bool, list[tuple[float, int]]] = {False: [], True: []}
        """Seconds and tokens of the last steps with guesses and without."""
        self._calls, self._left, self._pause = 0, COMPARED + 1, FIRST_PAUSE
        """Calls so far, steps that still go without guesses, and how long the next pause is."""
        self.pauses = 0
        """How often guessing was slower."""

    def propose(self, ids: Sequence[int], most: int) -> list[int]:
        """Return what the drafter proposes, or nothing while that is slower."""
        now = self._clock()
        self._calls += 1
        if self._last is not None and self._calls > 2:
            began, length, guessed = self._last
            self._steps[guessed] = [*self._steps[guessed], (now - began, len(ids) - length)][-COMPARED:]
            self._judge()
        guesses = [] if self._left > 0 else self._drafter.propose(ids, most)
        self._left = max(self._left - 1, 0)
        self._last = now, len(ids), bool(guesses)
        return guesses

    def _judge(self) -> None:
        """Pause where enough steps of both kinds are known and those with guesses are slower."""
        with_guesses, without = self._steps[True], self._steps[False]
        if self._left > 0 or len(without) < COMPARED or len(with_guesses) < FEWEST:
            return
        share = _speed(with_guesses) / _speed(without)
        if share < CLEARLY or (share < 1 and len(with_guesses) == COMPARED):
            self._steps[True], self._left = [], self._pause
            self._pause, self.pauses = min(2 * self._pause, LONGEST_PAUSE), self.pauses + 1
        elif len(with_guesses) == COMPARED:
            self._pause = FIRST_PAUSE


def _speed(steps: Sequence[tuple[float, int]]) -> float:
    """Return tokens a second of some steps; a step that the system held up counts as the median one."""
    seconds = statistics.median(seconds for seconds, _ in steps)
    return statistics.mean(tokens for _, tokens in steps) / max(seconds, LEAST)


def require_same_tokens(model: str, draft: str) -> None:
    """Refuse a draft model whose ids mean other tokens; arguments are the fingerprints of the two tokenizers."""
    if model != draft:
        raise UserError(
            f"draft model: its tokenizer is {draft[:12]}, the model's {model[:12]}; "
            "give a draft model that was trained with the model's tokenizer"
        )
