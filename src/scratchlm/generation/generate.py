"""Plain generation: run the whole text through the model for each new token. Slow, and the measure of the fast one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from scratchlm.generation.config import SamplingConfig
from scratchlm.generation.sampling import next_token
from scratchlm.model.network import CausalLM


def window_start(length: int, context: int) -> int:
    """Return the first position of a text of `length` tokens that the model still sees.

    Once the context is full it moves on by half a context at a time, not by one token: a cache can then be rebuilt
    once every half context, and plain and cached generation see the same tokens.
    """
    if length <= context:
        return 0
    hop = max(1, context // 2)
    return -(-(length - context) // hop) * hop


@torch.no_grad()
def generate_ids(
    decoder: CausalLM, prompt: Sequence[int], config: SamplingConfig, stop_ids: frozenset[int] = frozenset()
) -> Iterator[int]:
    """Yield new ids after `prompt` (at least one id) until a stop id, which is not yielded, or `max_tokens`."""
    stop_ids = stop_ids.union(config.stop_ids)
    decoder.eval()
    device = decoder.device
    generator = torch.Generator().manual_seed(config.seed)
    ids = list(prompt)
    for _ in range(config.max_tokens):
        seen = ids[window_start(len(ids), decoder.config.context) :]
        logits = decoder(torch.tensor([seen], device=device))[0, -1]
        token = next_token(logits, ids, config, generator)
        if token in stop_ids:
            return
        ids.append(token)
        yield token
