"""From a request of the API to requests of an engine: settings, defaults, what the output must match."""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Sequence

from scratchlm.generation.config import SamplingConfig
from scratchlm.generation.requests import Extras, Grammar, Request
from scratchlm.serving.errors import ApiError
from scratchlm.serving.models import Served
from scratchlm.serving.schemas import MOST_TEXTS, Sampled

LEAST_TOP_P = 1e-9
"""What `top_p: 0` stands for: the likeliest token alone."""


def sampling(body: Sampled, served: Served, max_tokens: int) -> SamplingConfig:
    """Return how tokens are chosen: as asked for, else as the model was saved with."""
    named = ("temperature", "top_k", "min_p", "repetition_penalty")
    asked = {name: getattr(body, name) for name in named if getattr(body, name) is not None}
    if body.top_p is not None:
        asked["top_p"] = max(body.top_p, LEAST_TOP_P)
    seed = secrets.randbits(62) if body.seed is None else body.seed & ((1 << 62) - 1)
    return dataclasses.replace(served.sampling, **asked, max_tokens=max_tokens, stop=tuple(body.stop or ()), seed=seed)


def engine_requests(
    body: Sampled, served: Served, prompts: Sequence[list[int]], ends: frozenset[int], max_tokens: int,
    logprobs: int | None,
) -> list[Request]:  # fmt: skip
    """Return the engine's requests: `n` of each prompt, each with a seed of its own.

    Takes a while where a grammar must be compiled. Raises `ApiError` and `UserError` for what cannot be asked for.
    """
    count = body.n or 1
    if len(prompts) * count > MOST_TEXTS:
        raise ApiError(400, f"{len(prompts)} prompts with n = {count}: at most {MOST_TEXTS} texts a request", param="n")
    config, bias = sampling(body, served, max_tokens), _bias(body, served)
    found = []
    for prompt in prompts:
        for _ in range(count):
            extras = Extras(
                logprobs=logprobs,
                logit_bias=bias,
                presence_penalty=body.presence_penalty or 0.0,
                frequency_penalty=body.frequency_penalty or 0.0,
                grammar=_grammar(body, served),
            )
            own = dataclasses.replace(config, seed=(config.seed + len(found)) & ((1 << 62) - 1))
            found.append(Request(prompt, own, ends, most=served.context, extras=extras))
    return found


def _bias(body: Sampled, served: Served) -> dict[int, float]:
    """Return numbers to add to logits, by token."""
    found = {}
    for name, value in (body.logit_bias or {}).items():
        if not (name.isascii() and name.isdigit() and int(name) < served.vocabulary):
            limit = f"this model's ids are 0 to {served.vocabulary - 1}"
            raise ApiError(400, f"logit_bias: {name[:40]!r} is no token; {limit}", param="logit_bias")
        found[int(name)] = value
    return found


def _grammar(body: Sampled, served: Served) -> Grammar | None:
    """Return what an answer must match."""
    format = body.response_format
    asked = format is not None and format.type != "text"
    if body.guided_regex is not None:
        if asked:
            raise ApiError(400, "guided_regex: stands beside response_format; give one of them", param="guided_regex")
        return served.grammars.regex(body.guided_regex)
    if format is None or not asked:
        return None
    if format.type == "json_object":
        return served.grammars.any_json()
    if format.json_schema is None:
        raise ApiError(400, "response_format: has no json_schema; give one", param="response_format")
    return served.grammars.json_schema(format.json_schema.schema_)
