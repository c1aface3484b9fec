"""Beam search: the continuations of highest mean log-probability that a search of limited width finds.

Of all continuations of the texts kept so far, the `beams` most probable are kept at each step. They are texts of one
engine: those that begin alike share what was computed of their beginnings, so a step computes one token of each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from scratchlm.base.errors import UserError
from scratchlm.generation.config import SamplingConfig
from scratchlm.generation.engine import Engine
from scratchlm.generation.requests import Extras, Request


@dataclass(frozen=True)
class Hypothesis:
    """A continuation that a search found."""

    ids: list[int]
    """Its tokens, without the one that ended it."""
    logprob: float
    """The sum of the log-probabilities of its tokens, with that of the one that ended it."""
    length: int
    """Tokens that the sum is of."""
    ended: bool
    """Whether a stop id ended it."""

    @property
    def score(self) -> float:
        """Mean log-probability of a token."""
        return self.logprob / max(1, self.length)


def beam_search(
    engine: Engine,
    prompt: Sequence[int],
    beams: int,
    max_tokens: int,
    stop_ids: frozenset[int] = frozenset(),
    after: Callable[[int], None] | None = None,
) -> list[Hypothesis]:
    """Return up to `beams` continuations, the best mean log-probability first.

    `after` is called after each step with the number of tokens that the longest continuations have.
    One that ended, by a stop id or `max_tokens`, stays in the beam unchanged. With as many beams as there are
    continuations this is exhaustive search. Raises `UserError` where prompt and answer exceed the context.
    """
    if beams < 1:
        raise UserError(f"beams: {beams}; must be at least 1")
    if len(prompt) + max_tokens > engine.context:
        raise UserError(
            f"beam search: {len(prompt)} tokens and {max_tokens} new ones exceed the model's context of "
            f"{engine.context}; lower max_tokens"
        )
    kept = [Hypothesis([], 0.0, 0, ended=False)]
    for step in range(max_tokens):
        going = [each for each in kept if not each.ended]
        if not going:
            break
        complete = [each for each in kept if each.ended]
        for each, likeliest in zip(going, _likeliest(engine, prompt, going, beams), strict=True):
            for token, logprob in likeliest:
                ended = token in stop_ids
                ids = each.ids if ended else [*each.ids, token]
                complete.append(Hypothesis(ids, each.logprob + logprob, each.length + 1, ended=ended))
        kept = sorted(complete, key=lambda each: each.logprob, reverse=True)[:beams]
        if after is not None:
            after(step + 1)
    return sorted(kept, key=lambda each: each.score, reverse=True)


def _likeliest(
    engine: Engine, prompt: Sequence[int], texts: Sequence[Hypothesis], count: int
) -> list[list[tuple[int, float]]]:
    """Return the likeliest next tokens of each text and their log-probabilities."""
    one, wanted = SamplingConfig(max_tokens=1, temperature=0.0), Extras(logprobs=count)
    requests = [Request([*prompt, *each.ids], one, extras=wanted) for each in texts]
    engine.finish(requests)
    return [request.logprobs[0].top for request in requests]
