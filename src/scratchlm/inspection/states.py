"""What a decoder holds between its layers."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from scratchlm.model.decoder import Decoder


@torch.no_grad()
def layer_states(decoder: Decoder, ids: Int[Tensor, "B T"]) -> list[Float[Tensor, "B T D"]]:
    """Return the residual stream before the first block and after each: one more than there are layers."""
    found: list[Tensor] = []
    blocks: list[Any] = list(decoder.blocks)
    hooks = [blocks[0].register_forward_pre_hook(lambda _, given: found.append(given[0]))]
    hooks += [block.register_forward_hook(lambda _, given, state: found.append(state)) for block in blocks]
    decoder.eval()
    try:
        decoder.hidden(ids)
    finally:
        for hook in hooks:
            hook.remove()
    return found
