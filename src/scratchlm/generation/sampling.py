"""From logits to the next token: each filter a pure function on one row, applied in the order of this file."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from scratchlm.base.errors import UserError
from scratchlm.generation.config import SamplingConfig

Row = Float[Tensor, "V"]


def penalise_repetition(logits: Row, ids: list[int], penalty: float) -> Row:
    """Make tokens that are already in `ids` less likely (Keskar et al. 2019, arXiv 1909.05858)."""
    if penalty == 1.0 or not ids:
        return logits
    there = torch.tensor(sorted(set(ids)), device=logits.device)
    chosen = logits[there]
    return logits.index_copy(0, there, torch.where(chosen > 0, chosen / penalty, chosen * penalty))


def keep_top_k(logits: Row, k: int) -> Row:
    """Rule out all but the k likeliest tokens; 0 keeps all."""
    if k == 0 or k >= len(logits):
        return logits
    return logits.masked_fill(logits < logits.topk(k).values[-1], float("-inf"))


def keep_top_p(logits: Row, p: float) -> Row:
    """Rule out the tail beyond the fewest likeliest tokens that reach probability p (arXiv 1904.09751)."""
    if p == 1.0:
        return logits
    ordered, order = logits.sort(descending=True)
    probabilities = ordered.softmax(0)
    before = probabilities.cumsum(0) - probabilities  # of the likelier ones: the first that reaches p stays
    return logits.masked_fill(torch.zeros_like(before, dtype=torch.bool).scatter(0, order, before >= p), float("-inf"))


def keep_min_p(logits: Row, p: float) -> Row:
    """Rule out tokens less likely than p times the likeliest (arXiv 2407.01082)."""
    if p == 0.0:
        return logits
    probabilities = logits.softmax(0)
    return logits.masked_fill(probabilities < p * probabilities.max(), float("-inf"))


def next_probabilities(logits: Row, ids: list[int], config: SamplingConfig) -> Row:
    """Return the probabilities that the next token is drawn from; temperature 0 puts all on the likeliest."""
    logits = penalise_repetition(logits.float(), ids, config.repetition_penalty)
    if config.temperature == 0.0:
        return torch.nn.functional.one_hot(logits.argmax(), len(logits)).float()
    logits = keep_top_k(logits / config.temperature, config.top_k)
    logits = keep_top_p(logits, config.top_p)
    return keep_min_p(logits, config.min_p).softmax(0)


def next_token(logits: Row, ids: list[int], config: SamplingConfig, generator: torch.Generator) -> int:
    """Choose the next token; `ids` is all text before it. Raises `UserError` where probabilities are no numbers."""
    probabilities = next_probabilities(logits, ids, config)
    if config.temperature == 0.0:
        return int(probabilities.argmax())
    try:
        return int(torch.multinomial(probabilities.cpu(), 1, generator=generator))
    except RuntimeError as error:
        raise UserError(
            "the model's probabilities are no numbers: its training has diverged; use another one"
        ) from error
