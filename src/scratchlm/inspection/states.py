"""The hidden states of a decoder between its layers (the residual stream)."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from scratchlm.model.decoder import Decoder
from scratchlm.model.lora import with_own_modules


@torch.no_grad()
def layer_states(decoder: Decoder, ids: Int[Tensor, "B T"]) -> list[Float[Tensor, "B T D"]]:
    """Return the residual stream before the first block and after each block: L + 1 tensors of shape (B, T, D)."""
    states: list[Tensor] = []
    watched = with_own_modules(decoder).eval()
    blocks: list[Any] = list(watched.blocks)
    blocks[0].register_forward_pre_hook(lambda _, given: states.append(given[0]))
    for block in blocks:
        block.register_forward_hook(lambda _, given, state: states.append(state))
    watched.hidden(ids)
    return states
