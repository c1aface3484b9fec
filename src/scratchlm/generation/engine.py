"""Cached generation: each new token costs one position. Equal to plain generation token for token in fp32."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from scratchlm.generation.config import SamplingConfig
from scratchlm.generation.generate import window_start
from scratchlm.generation.sampling import next_token
from scratchlm.model.cache import KVCache
from scratchlm.model.decoder import Decoder
from scratchlm.model.lora import adapted

PREFILL_CHUNK = 512
"""Most prompt tokens of one forward pass: bounds the memory of a long prompt's scores."""
SAMPLES = 16
"""Values of each tensor that are compared to notice training."""


def prefill(decoder: Decoder, ids: Int[Tensor, "B T"], cache: KVCache) -> Float[Tensor, "B D"]:
    """Run `ids` through the model into the cache, in chunks; return the last position's hidden states.

    The head of a whole prompt would cost more than its layers.
    """
    for part in torch.split(ids, PREFILL_CHUNK, dim=1):
        hidden = decoder.hidden(part, cache)
    return hidden[:, -1]


class Weights:
    """What the weights of a decoder were, to notice a change without reading them all.

    Compared are the tensors themselves, torch's count of writes to each, `SAMPLES` of its values, and the adapters in
    use. The count knows of every write but those of fused optimizers and through `.data` or NumPy, which change the
    samples where they change a whole tensor, as training does. A write through `.data` to single values between the
    samples goes unnoticed.
    """

    def __init__(self, decoder: Decoder) -> None:
        self._tensors = [weakref.ref(parameter) for parameter in decoder.parameters()]
        self._state = _state(decoder)

    def unchanged(self, decoder: Decoder) -> bool:
        """Tell whether a decoder has the tensors, values and adapters in use of the one that was noted."""
        same = [id(noted()) for noted in self._tensors] == [id(each) for each in decoder.parameters()]
        return same and self._state == _state(decoder)


@torch.no_grad()
def _state(decoder: Decoder) -> tuple[list[tuple[int, int]], list[float], list[str | None]]:
    """Return place and count of writes of each tensor, some values of each, and the adapters in use."""
    held = [parameter for parameter in decoder.parameters() if not parameter.is_meta]
    counts = [(each.data_ptr(), 0 if each.is_inference() else each._version) for each in held]
    some = [each.flatten()[:: max(1, each.numel() // SAMPLES)].float() for each in held]
    return counts, torch.cat(some).tolist(), [layer.active for layer in adapted(decoder).values()]


class Engine:
    """One text being continued: its ids, its cache, and where in the text the cache begins."""

    def __init__(self, decoder: Decoder) -> None:
        self.decoder = decoder.eval()
        self.cache = KVCache(decoder.config.context)
        self.ids: list[int] = []
        self._cached_from = 0
        self._weights = Weights(decoder)

    @torch.no_grad()
    def advance(self, new: Sequence[int]) -> Tensor:
        """Append ids (at least one) and return the logits after the last, `(V,)`; rebuilds the cache when full."""
        self.ids.extend(new)
        start = window_start(len(self.ids), self.decoder.config.context)
        if start != self._cached_from:
            self.cache.crop(0)
            self._cached_from = start
        ids = torch.tensor([self.ids[start + self.cache.length :]], device=self.decoder.device)
        return self.decoder.logits(prefill(self.decoder, ids, self.cache)[0])

    def truncate(self, length: int) -> None:
        """Forget all ids after the first `length`, as when another prompt shares that beginning."""
        start = window_start(length, self.decoder.config.context)
        self.cache.crop(max(length - start, 0) if start == self._cached_from else 0)
        self.ids, self._cached_from = self.ids[:length], start

    def restart(self, prompt: Sequence[int]) -> Tensor:
        """Set the text to `prompt`, keeping of the cache what it shares with the text before; return its logits."""
        shared = 0
        if not self._weights.unchanged(self.decoder):  # the cache holds another model's keys
            self.truncate(0)
            self._weights = Weights(self.decoder)
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
