"""How queries, keys and values are mixed: `naive_attention` writes every step out, the other forms are faster.

`fused_attention` is torch's one-call form of the same sum, and `kernels.blocked_attention` the form that trains fastest
in bf16 on a CPU.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from scratchlm.model.masks import Mask, causal_mask

Queries = Float[Tensor, "B H T E"]
Keys = Float[Tensor, "B K S E"]
"""Keys of each key-value head."""
Values = Float[Tensor, "B K S F"]
"""Values of each key-value head; they need not be as wide as its keys."""
Mixed = Float[Tensor, "B H T F"]


def naive_attention(
    q: Queries, k: Keys, v: Values, mask: Mask | None, *, causal: bool, softcap: float | None = None
) -> Mixed:
    """Scaled dot-product attention, step by step (Vaswani et al. 2017, arXiv 1706.03762, equation 1).

    Costs B * H * T * S numbers of memory for the scores, which the fused form avoids.
    """
    pattern = attention_scores(q, k, mask, causal=causal, softcap=softcap).float().softmax(-1)
    return weighted(pattern, v)


def attention_scores(
    q: Queries, k: Keys, mask: Mask | None, *, causal: bool, softcap: float | None = None
) -> Float[Tensor, "B H T S"]:
    """Return how well each key fits each query; minus infinity where a query may not see a key."""
    k = k.repeat_interleave(q.size(1) // k.size(1), dim=1)
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.size(-1))
    if softcap is not None:
        scores = softcap * torch.tanh(scores / softcap)
    if mask is None and causal:
        mask = causal_mask(q.size(2), k.size(2), None, None, q.device)
    return scores if mask is None else scores.masked_fill(~mask, float("-inf"))


def weighted(pattern: Float[Tensor, "B H T S"], v: Values) -> Mixed:
    """Return the sums of values that attention weights ask for; heads that share values meet the same ones."""
    return pattern.to(v.dtype) @ v.repeat_interleave(pattern.size(1) // v.size(1), dim=1)


def fused_attention(q: Queries, k: Keys, v: Values, mask: Mask | None, *, causal: bool) -> Mixed:
    """Compute the same sum in one kernel that never stores the scores."""
    is_causal, grouped = causal and mask is None, q.size(1) != k.size(1)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=is_causal, enable_gqa=grouped)
