"""From logits to the next token: each filter a pure function over the last axis, applied in the order of this file.

So a filter serves one row and many alike; rows with equal settings are filtered together.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from scratchlm.base.errors import UserError
from scratchlm.generation.config import SamplingConfig

Logits = Float[Tensor, "*B V"]
COLDEST = 1e-6
"""Lower temperatures than this are taken as this: logits divided by them would be no numbers."""
DIVERGED = "the model's probabilities are no numbers: its training has diverged; use another one"


def penalise_repetition(logits: Float[Tensor, " V"], ids: Sequence[int], penalty: float) -> Float[Tensor, " V"]:
    """Make tokens that are already in `ids` less likely (Keskar et al. 2019, arXiv 1909.05858)."""
    if penalty == 1.0 or not ids:
        return logits
    there = torch.tensor(sorted(set(ids)), device=logits.device)
    chosen = logits[there]
    return logits.index_copy(0, there, torch.where(chosen > 0, chosen / penalty, chosen * penalty))


def keep_top_k(logits: Logits, k: int) -> Logits:
    """Rule out all but the k likeliest tokens; 0 keeps all."""
    if k == 0 or k >= logits.size(-1):
        return logits
    return logits.masked_fill(logits < logits.topk(k).values[..., -1:], float("-inf"))


def keep_top_p(logits: Logits, p: float) -> Logits:
    """Rule out the tail beyond the fewest likeliest tokens that reach probability p (arXiv 1904.09751)."""
    if p == 1.0:
        return logits
    ordered, order = logits.sort(descending=True)
    probabilities = ordered.softmax(-1)
    before = probabilities.cumsum(-1) - probabilities  # of the likelier ones: the first that reaches p stays
    out = torch.zeros_like(before, dtype=torch.bool).scatter(-1, order, before >= p)
    return logits.masked_fill(out, float("-inf"))


def keep_min_p(logits: Logits, p: float) -> Logits:
    """Rule out tokens less likely than p times the likeliest (arXiv 2407.01082)."""
    if p == 0.0:
        return logits
    probabilities = logits.softmax(-1)
    return logits.masked_fill(probabilities < p * probabilities.amax(-1, keepdim=True), float("-inf"))


def next_probabilities(logits: Logits, config: SamplingConfig) -> Logits:
    """Return what the next token is drawn from, without the repetition penalty; temperature 0: all on the likeliest."""
    logits = logits.float()
    if config.temperature == 0.0:
        return torch.nn.functional.one_hot(logits.argmax(-1), logits.size(-1)).float()
    logits = keep_top_k(logits / max(config.temperature, COLDEST), config.top_k)
    logits = keep_top_p(logits, config.top_p)
    return keep_min_p(logits, config.min_p).softmax(-1)


def next_token(
    logits: Float[Tensor, " V"], ids: Sequence[int], config: SamplingConfig, generator: torch.Generator
) -> int:
    """Choose the next token; `ids` is all text before it. Raises `UserError` where probabilities are no numbers."""
    (token,) = next_tokens(logits[None], [ids], [config], [generator])
    if token is None:
        raise UserError(DIVERGED)
    return token


def next_tokens(
    logits: Float[Tensor, "B V"],
    texts: Sequence[Sequence[int]],
    configs: Sequence[SamplingConfig],
    generators: Sequence[torch.Generator],
) -> list[int | None]:
    """Choose the next token of each row by its own settings; None where its probabilities are no numbers."""
    tokens: list[int | None] = [None] * len(configs)
    logits = logits.detach()
    penalised = [row for row, config in enumerate(configs) if config.repetition_penalty != 1.0]
    if penalised:
        logits = logits.float().clone()
        for row in penalised:
            logits[row] = penalise_repetition(logits[row], texts[row], configs[row].repetition_penalty)
    for rows in _alike(configs):
        config, of_rows = configs[rows[0]], logits if len(rows) == len(logits) else logits[rows]
        if config.temperature == 0.0:
            # numpy, because torch's threads go on looking for work for a while, on the processors of a compiled step.
            for row, token in zip(rows, of_rows.float().cpu().numpy().argmax(1).tolist(), strict=True):
                tokens[row] = token
            continue
        probabilities = next_probabilities(of_rows, config).cpu()
        for row, each, total in zip(rows, probabilities, probabilities.sum(1).isfinite().tolist(), strict=True):
            tokens[row] = int(torch.multinomial(each, 1, generator=generators[row])) if total else None
    return tokens


def _alike(configs: Sequence[SamplingConfig]) -> list[list[int]]:
    """Return the rows in groups of equal filters."""
    groups: dict[tuple[float, ...], list[int]] = {}
    for row, config in enumerate(configs):
        groups.setdefault((config.temperature, config.top_k, config.top_p, config.min_p), []).append(row)
    return list(groups.values())
