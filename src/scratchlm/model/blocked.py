"""The form of attention that trains fastest on a CPU in bf16, with a gradient of its own.

`attention.naive_attention` is the plain form; a test holds the two equal.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

BLOCK = 256
"""Queries of one block: fewer skip more of the scores, more make larger products."""


def blocked_attention(
    q: Float[Tensor, "B H T E"], k: Float[Tensor, "B K T E"], v: Float[Tensor, "B K T E"], block: int = BLOCK
) -> Float[Tensor, "B H T E"]:
    """Return what `naive_attention` returns for whole rows without a mask tensor (causal).

    On a CPU torch's fused kernel computes in fp32 whatever the inputs are. Here queries go through in blocks, each
    against the keys it may see, so about half of the scores are never computed. Every product runs in the inputs'
    dtype. Probabilities are kept for the backward pass: `B * H * T * T / 2` numbers.
    """
    group = q.size(1) // k.size(1)
    if group > 1:
        k, v = k.repeat_interleave(group, dim=1), v.repeat_interleave(group, dim=1)
    mixed: Tensor = _BlockedAttention.apply(q, k, v, block)  # type: ignore[no-untyped-call]
    return mixed


class _BlockedAttention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, block: int) -> Tensor:
        shape, length, scale = q.shape, q.size(2), 1.0 / math.sqrt(q.size(3))
        q, k, v = (x.reshape(-1, *x.shape[2:]) for x in (q, k, v))  # (B * H, T, E)
        hidden = torch.full((length, length), float("-inf"), dtype=q.dtype, device=q.device).triu_(1)
        mixed, kept = torch.empty_like(q), []
        for start in range(0, length, block):
            end = min(start + block, length)
            scores = torch.baddbmm(hidden[start:end, :end], q[:, start:end], k[:, :end].mT, alpha=scale)
            weights = torch.softmax(scores, dim=-1)
            mixed[:, start:end] = weights @ v[:, :end]
            kept.append(weights)
        ctx.save_for_backward(q, k, v, *kept)
        ctx.block = block
        return mixed.view(shape)

    @staticmethod
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        q, k, v, *kept = ctx.saved_tensors
        shape, scale = outer.shape, 1.0 / math.sqrt(q.size(2))
        outer = outer.reshape(q.shape)
        for_q, for_k, for_v = torch.empty_like(q), torch.zeros_like(k), torch.zeros_like(v)
        for index, weights in enumerate(kept):
            part, seen = slice(index * ctx.block, index * ctx.block + weights.size(1)), slice(0, weights.size(2))
            for_v[:, seen] += weights.mT @ outer[:, part]
            for_weights = outer[:, part] @ v[:, seen].mT
            for_scores = torch._softmax_backward_data(for_weights, weights, -1, weights.dtype).mul_(scale)
            for_q[:, part] = for_scores @ k[:, seen]
            for_k[:, seen] += for_scores.mT @ q[:, part]
        return for_q.view(shape), for_k.view(shape), for_v.view(shape), None
