"""The next token of each text of an engine: from what the model says to what each request asks for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from scratchlm.base.errors import UserError
from scratchlm.generation.requests import Logprobs, Request
from scratchlm.generation.sampling import DIVERGED, next_tokens

TOO_STRONG = "these settings make the probabilities no numbers; use a milder repetition penalty, bias or temperature"


def choose(requests: Sequence[Request], logits: Float[Tensor, "B V"]) -> list[Request]:
    """Choose the next token of each text by its own settings and let the text take it; changes `logits`.

    A text whose probabilities are no numbers ends by an error, and is returned. One whose grammar fails ends so too.
    """
    before = _log_probabilities(requests, logits)
    for row, request in zip(logits, requests, strict=True):
        _adjust(request, row)
    texts, configs = [each.ids for each in requests], [each.config for each in requests]
    chosen = next_tokens(logits, texts, configs, [each.generator for each in requests])
    diverged = []
    for row, (request, token) in enumerate(zip(requests, chosen, strict=True)):
        if request.finish_reason is not None:  # cancelled meanwhile, or its grammar failed
            continue
        if token is None:
            spoiled = not bool(logits[row].max() < float("inf"))  # also where it is no number
            request.fail(UserError(DIVERGED if spoiled else TOO_STRONG))
            diverged += [request] if spoiled else []
        else:
            request.accept(token, _logprobs(before[row], token, request.extras.logprobs) if row in before else None)
    return diverged


def _adjust(request: Request, row: Float[Tensor, " V"]) -> None:
    """Change the logits of one text as it asks for."""
    extras, added = request.extras, dict(request.extras.logit_bias)
    if extras.presence_penalty or extras.frequency_penalty:
        for token, count in Counter(request.new).items():
            added[token] = added.get(token, 0.0) - extras.presence_penalty - count * extras.frequency_penalty
    if added:
        there = torch.tensor(list(added), device=row.device)
        row[there] += torch.tensor(list(added.values()), dtype=row.dtype, device=row.device)
    if extras.grammar is not None:
        try:
            extras.grammar.restrict(row)
        except UserError as error:
            request.fail(error)


def _log_probabilities(requests: Sequence[Request], logits: Float[Tensor, "B V"]) -> dict[int, Float[Tensor, " V"]]:
    """Return those of the rows that ask for them."""
    rows = [row for row, request in enumerate(requests) if request.extras.logprobs is not None]
    return dict(zip(rows, logits[rows].float().log_softmax(1).cpu(), strict=True)) if rows else {}


def _logprobs(each: Float[Tensor, " V"], token: int, count: int | None) -> Logprobs:
    likeliest = each.topk(min(count or 0, len(each)))
    return Logprobs(float(each[token]), list(zip(likeliest.indices.tolist(), likeliest.values.tolist(), strict=True)))
