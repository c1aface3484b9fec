"""What attention heads look at, as scores: how much of their attention follows each of a few known patterns."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor

from scratchlm.inspection.heads import Head
from scratchlm.inspection.trace import attention_maps
from scratchlm.model.decoder import Decoder

FIRST, PREVIOUS, SAME, INDUCTION = "first token", "previous token", "same token", "induction"
AGAIN = "first token, in a repeated text"
PATTERNS = {
    FIRST: "the first token",
    PREVIOUS: "the token just before",
    SAME: "an earlier occurrence of the same token",
    INDUCTION: "the token after an earlier occurrence of the same token",
    AGAIN: "the first token, in a text that occurs twice",
}
"""The patterns, and what a head of each looks at."""
SPECIFIC = (INDUCTION, SAME, PREVIOUS, FIRST)
"""The patterns that name a head, the rarest first: a head takes the name of the first one that it follows."""
EARLIEST = 2
"""First query that is scored: before it, the first and the previous token are one."""
NAMED = 0.5
"""Least mean attention by which a head is named after a pattern."""


def pattern_scores(decoder: Decoder, sentences: Int[Tensor, "N T"], rows: int = 8) -> dict[str, Float[Tensor, "L H"]]:
    """Return for each pattern the mean attention that each head of each layer gives to it, from 0 to 1.

    Every sentence, of T > 2 tokens, is given twice in a row. FIRST and PREVIOUS are means over the queries of the first
    time, from the third token on; attention of the first time does not see the second. SAME, INDUCTION and AGAIN are
    means over those of the second time but the first: they look T places back, T - 1 places back (Olsson et al. 2022,
    arXiv 2209.11895), and at the first token of all. `rows` sentences are computed together, in memory for
    L * rows * H * 4 * T * T numbers.
    """
    count, length = sentences.shape
    assert length > EARLIEST, f"sentences of {length} tokens are too short to score"
    once, again = torch.arange(EARLIEST, length), torch.arange(length + 1, 2 * length)
    places = {
        FIRST: (once, torch.zeros_like(once)), PREVIOUS: (once, once - 1), SAME: (again, again - length),
        INDUCTION: (again, again - length + 1), AGAIN: (again, torch.zeros_like(again)),
    }  # fmt: skip
    shape = decoder.config
    scores = {name: torch.zeros(shape.layers, shape.attention.heads) for name in places}
    for start in range(0, count, rows):
        part = sentences[start : start + rows]
        maps = torch.stack(attention_maps(decoder, torch.cat([part, part], 1)))  # (L, B, H, 2T, 2T)
        for name, (queries, keys) in places.items():
            scores[name] += maps[..., queries, keys].mean(-1).sum(1).cpu()
    return {name: total / count for name, total in scores.items()}


def uniform_score(length: int) -> float:
    """Return the score that a head with equal attention to all tokens so far has on FIRST and PREVIOUS."""
    queries = range(EARLIEST, length)
    return sum(1 / (query + 1) for query in queries) / len(queries)


def name_heads(scores: Mapping[str, Float[Tensor, "L H"]]) -> dict[Head, str]:
    """Return the pattern of each head that gives more than `NAMED` of its attention to one, heads counted from 0."""
    names: dict[Head, str] = {}
    for pattern in SPECIFIC:
        for layer, head in (scores[pattern] > NAMED).nonzero().tolist():
            names.setdefault((layer, head), pattern)
    return names


def best_head(scores: Mapping[str, Float[Tensor, "L H"]], pattern: str) -> tuple[Head, float]:
    """Return the head with the highest score of a pattern, and that score."""
    of = scores[pattern]
    place = int(of.argmax())
    return (place // of.size(1), place % of.size(1)), float(of.max())
