"""From logits to the next token: each filter a pure function on one row, applied in the order of this file.

`next_tokens` does the same for many rows at once, each with settings of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from scratchlm.base.errors import UserError
from scratchlm.generation.config import SamplingConfig

Row = Float[Tensor, "V"]
COLDEST = 1e-6
"""Lower temperatures than this are taken as this: logits divided by them would be no numbers."""
DIVERGED = "the model's probabilities are no numbers: its training has diverged; use another one"


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
    logits = keep_top_k(logits / max(config.temperature, COLDEST), config.top_k)
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
        raise UserError(DIVERGED) from error


def next_tokens(
    logits: Float[Tensor, "B V"],
    texts: Sequence[Sequence[int]],
    configs: Sequence[SamplingConfig],
    generators: Sequence[torch.Generator],
) -> list[int | None]:
    """Choose the next token of each row as `next_token` does; None where its probabilities are no numbers."""
    found: list[int | None] = [None] * len(configs)
    greedy = [row for row, each in enumerate(configs) if each.temperature == 0.0 and each.repetition_penalty == 1.0]
    if greedy:
        # numpy, because torch's threads go on looking for work for a while, on the processors of a compiled step.
        each = (logits if len(greedy) == len(logits) else logits[greedy]).float().cpu().numpy()
        for row, token in zip(greedy, each.argmax(1).tolist(), strict=True):
            found[row] = token
    others = [row for row in range(len(configs)) if row not in set(greedy)]
    if not others:
        return found
    chosen = [configs[row] for row in others]
    probabilities = _probabilities(logits[others].float(), [texts[row] for row in others], chosen).cpu()
    numbers = torch.isfinite(probabilities.sum(1)).tolist()
    for row, each, config, are in zip(others, probabilities, chosen, numbers, strict=True):
        if config.temperature == 0.0:
            found[row] = int(each.argmax())
        elif are:
            found[row] = int(torch.multinomial(each, 1, generator=generators[row]))
    return found


def _probabilities(
    logits: Float[Tensor, "B V"], texts: Sequence[Sequence[int]], configs: Sequence[SamplingConfig]
) -> Float[Tensor, "B V"]:
    """Return what `next_probabilities` returns for each row; a filter touches the rows alone that ask for it."""

    def column(values: Sequence[float]) -> Float[Tensor, "B 1"]:
        return torch.tensor(values, device=logits.device)[:, None]

    def rows_with(asked: Callable[[SamplingConfig], bool]) -> list[int]:
        return [row for row, config in enumerate(configs) if asked(config)]

    for row in rows_with(lambda config: config.repetition_penalty != 1.0):
        logits[row] = penalise_repetition(logits[row], list(texts[row]), configs[row].repetition_penalty)
    logits = logits / column([max(config.temperature, COLDEST) if config.temperature else 1.0 for config in configs])
    if some := rows_with(lambda config: 0 < config.top_k < logits.size(1)):
        count = torch.tensor([configs[row].top_k for row in some], device=logits.device)[:, None]
        least = logits[some].topk(int(count.max())).values.gather(1, count - 1)
        logits[some] = logits[some].masked_fill(logits[some] < least, float("-inf"))
    if some := rows_with(lambda config: config.top_p < 1.0):
        ordered, order = logits[some].sort(dim=1, descending=True)
        each = ordered.softmax(1)
        before = each.cumsum(1) - each
        beyond = before >= column([configs[row].top_p for row in some])
        out = torch.zeros_like(beyond).scatter(1, order, beyond)
        logits[some] = logits[some].masked_fill(out, float("-inf"))
    if some := rows_with(lambda config: config.min_p > 0.0):
        each = logits[some].softmax(1)
        least = column([configs[row].min_p for row in some]) * each.amax(1, keepdim=True)
        logits[some] = logits[some].masked_fill(each < least, float("-inf"))
    return logits.softmax(1)
