"""From a request of the API to requests of an engine: settings, defaults, what the output must match."""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Sequence

from scratchlm.generation.config import SamplingConfig
from scratchlm.generation.grammar import Matcher
from scratchlm.generation.requests import Extras, Request
from scratchlm.serving.errors import ApiError
from scratchlm.serving.models import Served
from scratchlm.serving.schemas import Sampled

LEAST_TOP_P = 1e-9
"""What `top_p: 0` stands for: the likeliest token alone."""


MOST_LOGPROBS = 2_000_000
"""Most log-probabilities that one request may ask for."""


def stop_texts(body: Sampled, served: Served) -> tuple[str, ...]:
    """Return the texts that end an answer: as asked for, else as the model was saved with."""
    return served.sampling.stop if body.stop is None else tuple(body.stop)


def most_tokens(asked: int | None, served: Served, usual: int) -> int:
    """Return the most new tokens of an answer. Raises `ApiError` for none."""
    if asked == 0:
        raise ApiError(400, "max_tokens is 0: must be at least 1, or -1 for as many as fit", param="max_tokens")
    return served.context if asked == -1 else asked or usual


def sampling(body: Sampled, served: Served, max_tokens: int) -> SamplingConfig:
    """Return how tokens are chosen: as asked for, else as the model was saved with."""
    named = ("temperature", "min_p", "repetition_penalty")
    asked = {name: getattr(body, name) for name in named if getattr(body, name) is not None}
    if body.top_p is not None:
        asked["top_p"] = max(body.top_p, LEAST_TOP_P)
    if body.top_k is not None:
        asked["top_k"] = max(body.top_k, 0)
    seed = secrets.randbits(62) if body.seed is None else body.seed & ((1 << 62) - 1)
    return dataclasses.replace(
        served.sampling, **asked, max_tokens=max_tokens, stop=stop_texts(body, served), seed=seed
    )


def engine_requests(
    body: Sampled, served: Served, prompts: Sequence[list[int]], ends: frozenset[int], max_tokens: int,
    logprobs: int | None, grammar: Matcher | None,
) -> list[Request]:  # fmt: skip
    """Return the engine's requests: `n` of each prompt, each with a seed of its own.

    Raises `ApiError` and `UserError` for what cannot be asked for.
    """
    count = body.n or 1
    config, bias = sampling(body, served, max_tokens), _bias(body, served)
    rows = len(prompts) * count * min(max_tokens, served.context)
    if logprobs is not None and rows * (1 + logprobs) > MOST_LOGPROBS:
        raise ApiError(400, f"logprobs: more than {MOST_LOGPROBS:,} in one answer; ask for fewer tokens or answers")
    requests: list[Request] = []
    for prompt in prompts:
        for _ in range(count):
            extras = Extras(
                logprobs=logprobs,
                logit_bias=bias,
                presence_penalty=body.presence_penalty or 0.0,
                frequency_penalty=body.frequency_penalty or 0.0,
                grammar=None if grammar is None else grammar.copy(),
            )
            own = dataclasses.replace(config, seed=(config.seed + len(requests)) & ((1 << 62) - 1))
            requests.append(Request(prompt, own, ends, most=served.context, extras=extras))
    return requests


def _bias(body: Sampled, served: Served) -> dict[int, float]:
    """Return numbers to add to logits, by token."""
    biases = {}
    for name, value in (body.logit_bias or {}).items():
        if not (name.isascii() and name.isdigit() and len(name) < 10 and int(name) < served.vocabulary):
            limit = f"this model's ids are 0 to {served.vocabulary - 1}"
            raise ApiError(400, f"logit_bias: {name[:40]!r} is no token; {limit}", param="logit_bias")
        biases[int(name)] = value
    return biases
