"""Fast forms of the model's parts for a CPU, each with a gradient of its own.

The plain form of each is beside the part that uses it: `naive_attention`, `plain_rms_norm`, `plain_rotate`. Tests hold
the two equal. Compiled blocks use the plain forms, which the compiler fuses by itself.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
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


def fast_rms_norm(x: Float[Tensor, "*batch D"], eps: float, dtype: torch.dtype) -> Float[Tensor, "*batch D"]:
    """Return what `plain_rms_norm` returns, as `dtype`, in half the passes over memory."""
    normed: Tensor = _RMSNorm.apply(x, eps, dtype)  # type: ignore[no-untyped-call]
    return normed


class _RMSNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, eps: float, dtype: torch.dtype) -> Tensor:
        exact = torch.promote_types(x.dtype, torch.float32)
        length = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=exact)
        inverse = torch.rsqrt(length.square() / x.size(-1) + eps)
        normed = torch.mul(x, inverse).to(dtype)
        ctx.save_for_backward(normed, inverse)
        ctx.dtype = x.dtype
        return normed

    @staticmethod
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor, None, None]:
        normed, inverse = ctx.saved_tensors
        along = (outer * normed).mean(-1, keepdim=True)
        inside = torch.addcmul(outer, normed, along, value=-1)
        return torch.mul(inside, inverse).to(ctx.dtype), None, None


def fast_relu_squared(x: Float[Tensor, "*batch N"]) -> Float[Tensor, "*batch N"]:
    """Return `relu(x) ** 2`, with a gradient of two passes instead of five."""
    squared: Tensor = _ReluSquared.apply(x)  # type: ignore[no-untyped-call]
    return squared


class _ReluSquared(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        rectified = F.relu(x)
        ctx.save_for_backward(rectified)
        return rectified * rectified

    @staticmethod
    def backward(ctx: Any, outer: Tensor) -> Tensor:
        (rectified,) = ctx.saved_tensors
        return torch.mul(outer, rectified).mul_(2.0)


def fast_rotate(x: Float[Tensor, "B heads T E"], cos: Tensor, sin: Tensor) -> Float[Tensor, "B heads T E"]:
    """Return what `plain_rotate` returns; the gradient is the gradient rotated back, so nothing is kept for it."""
    rotated: Tensor = _Rotation.apply(x, cos, sin)  # type: ignore[no-untyped-call]
    return rotated


class _Rotation(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)
        return _turn(x, cos, sin, 1.0)

    @staticmethod
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor, None, None]:
        cos, sin = ctx.saved_tensors
        return _turn(outer, cos, sin, -1.0), None, None


def _turn(x: Tensor, cos: Tensor, sin: Tensor, direction: float) -> Tensor:
    turned = torch.empty(x.shape, dtype=x.dtype, device=x.device)  # contiguous, whatever x is a view of
    half = cos.size(-1)
    first, second = x[..., :half], x[..., half : 2 * half]
    torch.mul(first, cos, out=turned[..., :half]).addcmul_(second, sin, value=-direction)
    torch.mul(second, cos, out=turned[..., half : 2 * half]).addcmul_(first, sin, value=direction)
    if 2 * half < x.size(-1):
        turned[..., 2 * half :] = x[..., 2 * half :]
    return turned
