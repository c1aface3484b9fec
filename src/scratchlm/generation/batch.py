"""Many texts continued to their ends by one engine."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from scratchlm.base.errors import UserError
from scratchlm.generation.compiling import worth_compiling
from scratchlm.generation.config import SamplingConfig
from scratchlm.generation.engine import ROWS, Engine
from scratchlm.generation.requests import Request
from scratchlm.model.blocks import BLOCK
from scratchlm.model.decoder import Decoder


def continue_batch(
    decoder: Decoder,
    prompts: Sequence[Sequence[int]],
    config: SamplingConfig,
    stop_ids: frozenset[int] = frozenset(),
    *,
    rows: int = ROWS,
    keep_stop: bool = False,
) -> list[list[int]]:
    """Continue prompts of any lengths until a stop id, `max_tokens`, or the context.

    The stop id that ended an answer is its last token with `keep_stop`, else no part of it.
    Equal to continuing each alone, up to rounding; row i draws with the seed `config.seed + i`. Raises `UserError` for
    a prompt that is empty or longer than the context.
    """
    if not prompts:
        return []
    context = decoder.config.context
    for index, prompt in enumerate(prompts):
        if not 0 < len(prompt) <= context:
            raise UserError(f"prompt {index + 1}: {len(prompt):,} tokens; must be 1 to the context of {context:,}")
    requests = [
        Request(
            prompt, dataclasses.replace(config, seed=config.seed + index), stop_ids, keep_stop=keep_stop, most=context
        )
        for index, prompt in enumerate(prompts)
    ]
    engine_of(decoder, requests, rows).finish(requests)
    return [request.new for request in requests]


def engine_of(decoder: Decoder, requests: Sequence[Request], rows: int = ROWS) -> Engine:
    """Return an engine that has room for `rows` of the requests at a time, whole."""
    context = decoder.config.context
    lengths = sorted((min(len(each.prompt) + each.room, context) for each in requests), reverse=True)
    blocks = sum(-(-length // BLOCK) for length in lengths[:rows])
    return Engine(decoder, rows, blocks, compiled=worth_compiling(decoder))


def greedy_batch(
    decoder: Decoder, prompts: Sequence[Sequence[int]], max_tokens: int, stop_ids: frozenset[int]
) -> list[list[int]]:
    """Continue many prompts by their likeliest tokens."""
    return continue_batch(decoder, prompts, SamplingConfig(max_tokens=max_tokens, temperature=0.0), stop_ids)
