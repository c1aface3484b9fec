"""Cached generation: each new token costs one position. Equal to plain generation token for token in fp32."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from scratchlm.generation.config import SamplingConfig
from scratchlm.generation.generate import window_start
from scratchlm.generation.sampling import next_token
from scratchlm.model.cache import KVCache
from scratchlm.model.decoder import Decoder
from scratchlm.model.lora import adapted

PREFILL_CHUNK = 512
"""Most prompt tokens of one forward pass: bounds the memory of a long prompt's scores."""


def prefill(decoder: Decoder, ids: Sequence[int], cache: KVCache) -> Tensor:
    """Run `ids` through the model into the cache, in chunks, and return the last position's logits `(V,)`."""
    device = decoder.embedding.weight.device
    hidden = torch.empty(0)
    for start in range(0, len(ids), PREFILL_CHUNK):
        hidden = decoder.hidden(torch.tensor([ids[start : start + PREFILL_CHUNK]], device=device), cache)
    return decoder.logits(hidden[0, -1])  # one row: the head of a whole prompt would cost more than its layers


class Engine:
    """One text being continued: its ids, its cache, and where in the text the cache begins."""

    def __init__(self, decoder: Decoder) -> None:
        self.decoder = decoder.eval()
        weight = decoder.embedding.weight
        self.cache = KVCache(decoder.config, 1, dtype=weight.dtype, device=weight.device)
        self.ids: list[int] = []
        self._cached_from = 0
        self._weights = self._fingerprint()

    @torch.no_grad()
    def advance(self, new: Sequence[int]) -> Tensor:
        """Append ids (at least one) and return the logits after the last, `(V,)`; rebuilds the cache when full."""
        self.ids.extend(new)
        start = window_start(len(self.ids), self.decoder.config.context)
        if start != self._cached_from:
            self.cache.clear()
            self._cached_from = start
        return prefill(self.decoder, self.ids[start + self.cache.length :], self.cache)

    @torch.no_grad()
    def _fingerprint(self) -> tuple[float, list[str | None]]:
        """Return what training changes, by one read of the weights, as a token costs too, and the adapters in use."""
        held = (parameter for parameter in self.decoder.parameters() if not parameter.is_meta)
        return sum(float(parameter.sum()) for parameter in held), [
            each.active for each in adapted(self.decoder).values()
        ]

    def truncate(self, length: int) -> None:
        """Forget all ids after the first `length`, as when another prompt shares that beginning."""
        start = window_start(length, self.decoder.config.context)
        kept = length - start if start == self._cached_from else 0
        self.ids = self.ids[:length]
        self.cache.length, self._cached_from = min(self.cache.length, max(kept, 0)), start

    def restart(self, prompt: Sequence[int]) -> Tensor:
        """Set the text to `prompt`, keeping of the cache what it shares with the text before; return its logits."""
        shared = 0
        if self._weights != (now := self._fingerprint()):  # changed since: the cache holds another model's keys
            self.truncate(0)
            self._weights = now
        while shared < min(len(prompt) - 1, len(self.ids)) and prompt[shared] == self.ids[shared]:
            shared += 1
        self.truncate(shared)
        return self.advance(prompt[shared:])


def stream_ids(
    engine: Engine, prompt: Sequence[int], config: SamplingConfig, stop_ids: frozenset[int] = frozenset()
) -> Iterator[int]:
    """Yield new ids after `prompt` (at least one id) until a stop id, which is not yielded, or `max_tokens`."""
    stop_ids = stop_ids.union(config.stop_ids)
    generator = torch.Generator().manual_seed(config.seed)
    logits = engine.restart(prompt)
    for count in range(config.max_tokens):
        token = next_token(logits, engine.ids, config, generator)
        if token in stop_ids:
            return
        yield token
        if count + 1 < config.max_tokens:
            logits = engine.advance([token])
