"""Many texts continued together: a step reads the weights once for all of them.

Shorter prompts are padded on the left, unseen. A row draws from a generator of its own, so what it becomes does not
depend on the rows beside it, up to rounding.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from scratchlm.base.errors import UserError
from scratchlm.data.batches import padded
from scratchlm.generation.config import SamplingConfig
from scratchlm.generation.engine import prefill
from scratchlm.generation.sampling import next_token
from scratchlm.model.cache import KVCache
from scratchlm.model.decoder import Decoder

ROWS = 64
"""Most texts that are continued together."""


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
    for index, prompt in enumerate(prompts):
        if not 0 < len(prompt) <= decoder.config.context:
            raise UserError(
                f"prompt {index + 1}: {len(prompt):,} tokens; must be 1 to the context of {decoder.config.context:,}"
            )
    answers: list[list[int]] = [[] for _ in prompts]
    stops = stop_ids.union(config.stop_ids)
    for members in _groups([len(prompt) for prompt in prompts], decoder.config.context, config.max_tokens, rows):
        together, seeds = [prompts[index] for index in members], [config.seed + index for index in members]
        for index, ids in zip(members, _continue(decoder, together, seeds, config, stops), strict=True):
            answers[index] = ids if keep_stop or not ids or ids[-1] not in stops else ids[:-1]
    return answers


def greedy_batch(
    decoder: Decoder, prompts: Sequence[Sequence[int]], max_tokens: int, stop_ids: frozenset[int]
) -> list[list[int]]:
    """Continue many prompts by their likeliest tokens."""
    return continue_batch(decoder, prompts, SamplingConfig(max_tokens=max_tokens, temperature=0.0), stop_ids)


def _groups(lengths: Sequence[int], context: int, new: int, rows: int) -> Iterator[list[int]]:
    """Yield the places of prompts that go together: of like length, and all with room for their new tokens.

    Where the longest has no room for all of them, only prompts of its own length stand beside it.
    """
    group: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        longest = lengths[group[0]] if group else lengths[index]
        apart = lengths[index] != longest and longest + new > context
        if group and (len(group) == rows or apart):
            yield group
            group = []
        group.append(index)
    if group:
        yield group


@torch.no_grad()
def _continue(
    decoder: Decoder,
    prompts: Sequence[Sequence[int]],
    seeds: Sequence[int],
    config: SamplingConfig,
    stops: frozenset[int],
) -> list[list[int]]:
    """Continue one group, dropping rows that have ended; stop ids are kept."""
    device = decoder.eval().device
    longest = max(map(len, prompts))
    room = min(config.max_tokens, decoder.config.context - longest)
    cache = KVCache(decoder.config.context)
    starts = torch.tensor([longest - len(prompt) for prompt in prompts], device=device)
    cache.starts = starts if bool(starts.any()) else None
    table = padded([list(reversed(prompt)) for prompt in prompts])[0].flip(1)  # padded on the left
    logits = decoder.logits(prefill(decoder, table.to(device), cache))
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    answers: list[list[int]] = [[] for _ in prompts]
    members = list(range(len(prompts)))
    for count in range(room):
        if config.temperature == 0.0 and config.repetition_penalty == 1.0:
            chosen = logits.argmax(-1).tolist()
        else:
            texts = [([*prompts[index], *answers[index]], generators[index]) for index in members]
            chosen = [next_token(row, ids, config, draw) for row, (ids, draw) in zip(logits, texts, strict=True)]
        for index, token in zip(members, chosen, strict=True):
            answers[index].append(token)
        going = [row for row, token in enumerate(chosen) if token not in stops]
        if not going or count + 1 == room:
            break
        if len(going) < len(members):
            cache.keep(torch.tensor(going, device=device))
            members = [members[row] for row in going]
        new = torch.tensor([[chosen[row]] for row in going], device=device)
        logits = decoder.logits(decoder.hidden(new, cache)[:, -1])
    return answers
