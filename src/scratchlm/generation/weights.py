"""Noticing that a decoder was trained since its cache was filled."""

from __future__ import annotations

import weakref

import torch

from scratchlm.model.decoder import Decoder
from scratchlm.model.lora import adapted

SAMPLES = 16
"""Values of each tensor that are compared to notice training."""


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
        """Return whether a decoder has the tensors, values and adapters in use of the one that was noted."""
        same = [id(noted()) for noted in self._tensors] == [id(each) for each in decoder.parameters()]
        return same and self._state == _state(decoder)


@torch.no_grad()
def _state(decoder: Decoder) -> tuple[list[tuple[int, int]], list[float], list[str | None]]:
    """Return place and count of writes of each tensor, some values of each, and the adapters in use."""
    parameters = [parameter for parameter in decoder.parameters() if not parameter.is_meta]
    counts = [(each.data_ptr(), 0 if each.is_inference() else each._version) for each in parameters]
    some = [each.flatten()[:: max(1, each.numel() // SAMPLES)].float() for each in parameters]
    return counts, torch.cat(some).tolist(), [layer.active for layer in adapted(decoder).values()]
