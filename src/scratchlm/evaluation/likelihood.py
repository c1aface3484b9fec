"""How likely a model finds continuations of texts: what multiple choice, minimal pairs and last words are scored by.

Continuations of one text are scored after it has been read once: its keys and values serve all of them. The plain way,
each with its text as one row, gives the same up to rounding.

What is scored without a text before it stands after the token that begins a text, so that its first token counts as
well: BLiMP's sentences do, with a leading space that the task puts. Both are lm-evaluation-harness's convention. A loop
that leaves out the start token does not score the first token, and one without the space cuts the first word otherwise;
either may turn the verdict on a close pair.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from scratchlm.base.device import autocast
from scratchlm.base.errors import UserError
from scratchlm.data.batches import padded
from scratchlm.model.cache import KVCache
from scratchlm.model.decoder import Decoder
from scratchlm.model.network import CausalNetwork
from scratchlm.tokens.base import Tokenizer, first_token

BATCH_TOKENS = 8192
"""Most tokens of one forward pass, about."""
TOGETHER = 1024
"""Positions whose logits are held at once."""
ROWS = 16
"""Texts that are read together."""
SHARED = 8
"""Tokens from which on a text that several continuations follow is read once for all of them."""


@dataclass(frozen=True)
class Likelihood:
    """What a model thinks of a continuation."""

    nats: float
    """Natural log of its probability, summed over its tokens."""
    tokens: int
    greedy: bool
    """Whether each of its tokens was the likeliest one."""


@dataclass(frozen=True)
class Request:
    """A text, which is given, and a continuation, which is scored, both as ids."""

    context: tuple[int, ...]
    continuation: tuple[int, ...]


def encode_requests(tokenizer: Tokenizer, texts: Sequence[tuple[str, str]]) -> list[Request]:
    """Encode texts with their continuations.

    Both are encoded as one text and cut where the ids of the first end, space at its end moved to the continuation, so
    that words are cut as they are in running text. An empty text becomes what a text's first token is predicted from.
    Raises `UserError` where that does not exist, and for a continuation without a token.
    """
    moved = [(text.rstrip(), text[len(text.rstrip()) :] + more) for text, more in texts]
    first = first_token(tokenizer)
    if first is None and any(not text for text, _ in moved):
        raise UserError("the tokenizer has no end-of-text token, after which a text could begin")
    begin = () if tokenizer.begin_of_text is None else (tokenizer.begin_of_text,)
    whole = tokenizer.encode_batch([text + more for text, more in moved])
    contexts = tokenizer.encode_batch([text for text, _ in moved])
    found = []
    for (text, more), ids, before in zip(moved, whole, contexts, strict=True):
        cut = len(before) if text else 0
        ahead = (*begin, *map(int, ids[:cut])) if text else (int(first or 0),)
        if not len(ids[cut:]):
            raise UserError(f"continuation {more!r} of {text[-40:]!r}: has no token of its own; give one with a letter")
        found.append(Request(ahead, tuple(map(int, ids[cut:]))))
    return found


def likelihoods(
    decoder: CausalNetwork,
    requests: Sequence[Request],
    *,
    rows: int = ROWS,
    dtype: torch.dtype = torch.float32,
    shared: bool = True,
) -> list[Likelihood]:
    """Score continuations; `rows` texts are read together, and `shared=False` takes the plain way.

    That is taken for a network without a cache too.
    Of a text too long for the model the beginning is cut. Raises `UserError` for a continuation that is longer than the
    context.
    """
    decoder.eval()
    shared = shared and isinstance(decoder, Decoder)
    fitting = [_fitted(request, decoder.config.context) for request in requests]
    groups: dict[tuple[int, ...], list[int]] = {}
    for index, request in enumerate(fitting):
        groups.setdefault(request.context, []).append(index)
    together = [group for text, group in groups.items() if shared and len(group) > 1 and len(text) >= SHARED]
    kept = {index for group in together for index in group}
    alone = [[index] for index in range(len(requests)) if index not in kept]
    found: dict[int, Likelihood] = {}
    for read, sets in ((_shared, together), (_plain, alone)):
        for chosen in _batches(fitting, sets, rows):
            found.update(read(decoder, fitting, chosen, dtype))
    if not all(math.isfinite(each.nats) for each in found.values()):
        raise UserError("likelihoods: some are no finite numbers; the weights have run away, or try --dtype fp32")
    return [found[index] for index in range(len(requests))]


def _fitted(request: Request, context: int) -> Request:
    """Cut the beginning of a text that is too long."""
    room = context + 1 - len(request.continuation)
    if room < 1:
        raise UserError(f"a continuation has {len(request.continuation):,} tokens; the model sees {context:,}")
    return Request(request.context[-room:], request.continuation)


def _batches(requests: Sequence[Request], groups: list[list[int]], rows: int) -> Iterator[list[list[int]]]:
    """Yield groups of like length that are scored together, the longest first: memory is known at once."""

    def size(group: list[int]) -> int:
        return len(requests[group[0]].context) + max(len(requests[index].continuation) for index in group)

    order = sorted(groups, key=size)
    while order:
        longest, widest = size(order[-1]), max(map(len, order[-rows:]))
        count = max(1, min(rows, BATCH_TOKENS // (longest * widest)))
        yield order[-count:]
        order = order[:-count]


@torch.no_grad()
def _plain(
    decoder: CausalNetwork, requests: Sequence[Request], groups: list[list[int]], dtype: torch.dtype
) -> dict[int, Likelihood]:
    """Score requests, each of which is a row of its own; padding stands behind, where no position sees it."""
    device = decoder.embedding.weight.device
    members = [index for group in groups for index in group]
    texts = [[*requests[index].context, *requests[index].continuation[:-1]] for index in members]
    with autocast(device, dtype):
        hidden = decoder.hidden(padded(texts)[0].to(device))
    starts = [len(requests[index].context) - 1 for index in members]
    return _scored(decoder, hidden, requests, members, starts, dtype)


@torch.no_grad()
def _shared(
    decoder: CausalNetwork, requests: Sequence[Request], groups: list[list[int]], dtype: torch.dtype
) -> dict[int, Likelihood]:
    """Read texts once, filled up in front, then score all continuations of each from its keys and values."""
    device = decoder.embedding.weight.device
    assert isinstance(decoder, Decoder), "what has no cache reads each row whole"
    texts = [requests[group[0]].context for group in groups]
    members = [index for group in groups for index in group]
    longest = max(map(len, texts)) - 1
    reach = longest + max(len(requests[index].continuation) for index in members)
    if reach > decoder.config.context:  # beside a longer one a row would reach too far
        return _plain(decoder, requests, groups, dtype)
    cache = KVCache(decoder.config, len(texts), capacity=reach, dtype=dtype, device=device)
    starts = torch.tensor([longest - len(text) + 1 for text in texts], device=device)
    cache.starts = starts if bool(starts.any()) else None
    table = padded([list(reversed(text[:-1])) for text in texts])[0].flip(1)
    tails = [[requests[index].context[-1], *requests[index].continuation[:-1]] for index in members]
    with autocast(device, dtype):
        decoder.hidden(table.to(device), cache)
        cache.keep(torch.tensor([row for row, group in enumerate(groups) for _ in group], device=device))
        hidden = decoder.hidden(padded(tails)[0].to(device), cache)
    return _scored(decoder, hidden, requests, members, [0] * len(members), dtype)


def _scored(
    decoder: CausalNetwork,
    hidden: Float[Tensor, "B T D"],
    requests: Sequence[Request],
    members: Sequence[int],
    starts: Sequence[int],
    dtype: torch.dtype,
) -> dict[int, Likelihood]:
    """Score continuations whose first tokens are predicted at the positions `starts`; no other logits are computed."""
    ids = [requests[index].continuation for index in members]
    places = [(row, start + step) for row, start in enumerate(starts) for step in range(len(ids[row]))]
    row, column = torch.tensor(places, device=hidden.device).unbind(1)
    wanted: Int[Tensor, " N"] = torch.tensor([token for each in ids for token in each], device=hidden.device)
    nats, first = [], []
    for states, tokens in zip(torch.split(hidden[row, column], TOGETHER), torch.split(wanted, TOGETHER), strict=True):
        with autocast(hidden.device, dtype):
            logits = decoder.logits(states).float()
        said = logits.gather(1, tokens[:, None]).squeeze(1)
        nats.append(said.cpu().double() - logits.logsumexp(1).cpu().double())  # not every device has doubles
        first.append((logits.argmax(1) == tokens).cpu())
    sizes = [len(each) for each in ids]
    return {
        index: Likelihood(float(each.sum()), len(each), bool(hits.all()))
        for index, each, hits in zip(
            members, torch.split(torch.cat(nats), sizes), torch.split(torch.cat(first), sizes), strict=True
        )
    }
