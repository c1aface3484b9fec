"""Many texts continued to their ends by one engine."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

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
    after: Callable[[Mapping[int, list[int]]], None] | None = None,
) -> list[list[int]]:
    """Continue prompts of any lengths until a stop id, `max_tokens`, or the context.

    The stop id that ended an answer is its last token with `keep_stop`, else no part of it.
    `after` is called after each step with the answers that it ended, by their positions; what it raises ends the work.
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
    going = dict(enumerate(requests))

    def note() -> None:
        ended = {index: request.new for index, request in going.items() if request.finish_reason not in (None, "error")}
        for index in ended:
            del going[index]
        if after is not None and ended:
            after(ended)

    engine_of(decoder, requests, rows).finish(requests, None if after is None else note)
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
