"""Losses: summed over targets here, divided once by the global count in the loop."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from scratchlm.model.decoder import Decoder
from scratchlm.tokens.batches import IGNORED, Batch

Loss = Callable[[Decoder, Batch], Tensor]
"""A sum over the batch's targets, as a scalar tensor; the loop divides it by `Batch.target_count`."""


def cross_entropy_sum(logits: Float[Tensor, "B T V"], targets: Int[Tensor, "B T"]) -> Float[Tensor, ""]:
    """Return the sum over targets of minus the natural log of the probability given to each, in fp32.

    Ignored targets add nothing, so a batch without targets has loss 0 and gradient 0.
    """
    return F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), ignore_index=IGNORED, reduction="sum")


def next_token_loss(decoder: Decoder, batch: Batch) -> Float[Tensor, ""]:
    """Return the summed cross-entropy of the next token: the whole objective of a language model."""
    return cross_entropy_sum(decoder(batch.ids, documents=batch.documents), batch.targets)
