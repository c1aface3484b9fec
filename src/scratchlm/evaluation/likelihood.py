"""Log-likelihoods of continuations of texts: the basis of scores on multiple choice, minimal pairs and last words.

A text with several continuations is read once: its cached keys and values serve all of them. The plain form, one row
for each text with a continuation, gives the same up to rounding.

A continuation of an empty text follows a start token, so that its first token is scored too: if none is given, the
default of lm-evaluation-harness, `tokens.base.prefix_token`. BLiMP's sentences are scored so, with a leading space that
the task adds, as there. After another start token, or without the space, close pairs may come out differently.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from scratchlm.base.device import autocast
from scratchlm.base.errors import UserError
from scratchlm.data.batches import padded
from scratchlm.model.cache import KVCache
from scratchlm.model.decoder import Decoder
from scratchlm.model.network import CausalLM
from scratchlm.tokens.base import Tokenizer, prefix_token

BATCH_TOKENS = 8192
"""Most tokens of one forward pass, approximately."""
TOGETHER = 1024
"""Positions whose logits are in memory at once."""
ROWS = 16
"""Texts in a batch."""
SHARED = 8
"""Fewest tokens of a text that is read once for several continuations."""


@dataclass(frozen=True)
class Likelihood:
    """The log-likelihood of a continuation."""

    nats: float
    """Natural log of the continuation's probability, summed over its tokens."""
    tokens: int
    greedy: bool
    """Whether each of its tokens is the argmax, so that greedy decoding would write it."""


@dataclass(frozen=True)
class LikelihoodRequest:
    """A context, which is given, and a continuation, which is scored, both as ids."""

    context: tuple[int, ...]
    continuation: tuple[int, ...]


def encode_requests(
    tokenizer: Tokenizer, texts: Sequence[tuple[str, str]], *, start: int | None = None
) -> list[LikelihoodRequest]:
    """Encode texts with their continuations.

    Both are encoded as one text and split after the ids of the first. Trailing space of the first moves to the
    continuation, so that words are tokenized as in running text. An empty text becomes the token `start`,
    `prefix_token` if it is None. Raises `UserError` where there is no such token, and for a continuation without one.
    """
    moved = [(text.rstrip(), text[len(text.rstrip()) :] + more) for text, more in texts]
    start = prefix_token(tokenizer) if start is None else start
    if start is None and any(not text for text, _ in moved):
        raise UserError("the tokenizer has no end-of-text token, after which a text could begin")
    begin = () if tokenizer.begin_of_text is None else (tokenizer.begin_of_text,)
    joined = tokenizer.encode_batch([text + more for text, more in moved])
    contexts = tokenizer.encode_batch([text for text, _ in moved])
    encoded = []
    for (text, more), ids, before in zip(moved, joined, contexts, strict=True):
        cut = len(before) if text else 0
        ahead = (*begin, *map(int, ids[:cut])) if text else (int(start or 0),)
        if not len(ids[cut:]):
            raise UserError(f"continuation {more!r} of {text[-40:]!r}: has no token of its own; give at least a letter")
        encoded.append(LikelihoodRequest(ahead, tuple(map(int, ids[cut:]))))
    return encoded


def likelihoods(
    decoder: CausalLM,
    requests: Sequence[LikelihoodRequest],
    *,
    rows: int = ROWS,
    dtype: torch.dtype = torch.float32,
    shared: bool = True,
    after: Callable[[Mapping[int, Likelihood]], None] | None = None,
) -> list[Likelihood]:
    """Score continuations; a batch has `rows` texts, and `shared=False` selects the plain form.

    `after` is called after each batch with its likelihoods by the positions of their requests; what it raises ends the
    work. A network without a cache always takes the plain form. A text that is too long for the context loses its
    beginning.
    Raises `UserError` for a continuation that is longer than the context.
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
    scores: dict[int, Likelihood] = {}
    for read, sets in ((_shared, together), (_plain, alone)):
        for chosen in _batches(fitting, sets, rows):
            scored = read(decoder, fitting, chosen, dtype)
            if not all(math.isfinite(each.nats) for each in scored.values()):
                raise UserError("likelihoods: some are not finite; the training diverged, or try --dtype fp32")
            scores |= scored
            if after is not None:
                after(scored)
    return [scores[index] for index in range(len(requests))]


def _fitted(request: LikelihoodRequest, context: int) -> LikelihoodRequest:
    """Truncate a context that is too long at its beginning."""
    room = context + 1 - len(request.continuation)
    if room < 1:
        raise UserError(f"a continuation has {len(request.continuation):,} tokens; the model sees {context:,}")
    return LikelihoodRequest(request.context[-room:], request.continuation)


def _batches(requests: Sequence[LikelihoodRequest], groups: list[list[int]], rows: int) -> Iterator[list[list[int]]]:
    """Yield batches of groups of similar length, the longest first, so that a lack of memory shows at once."""

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
    decoder: CausalLM, requests: Sequence[LikelihoodRequest], groups: list[list[int]], dtype: torch.dtype
) -> dict[int, Likelihood]:
    """Score requests, each a row of its own; padding is on the right, where causal attention ignores it."""
    device = decoder.device
    members = [index for group in groups for index in group]
    texts = [[*requests[index].context, *requests[index].continuation[:-1]] for index in members]
    with autocast(device, dtype):
        hidden = decoder.hidden(padded(texts)[0].to(device))
    starts = [len(requests[index].context) - 1 for index in members]
    return _scored(decoder, hidden, requests, members, starts, dtype)


@torch.no_grad()
def _shared(
    decoder: CausalLM, requests: Sequence[LikelihoodRequest], groups: list[list[int]], dtype: torch.dtype
) -> dict[int, Likelihood]:
    """Read texts once, padded on the left, then score all continuations of each from its cached keys and values."""
    device = decoder.device
    assert isinstance(decoder, Decoder), "what has no cache reads each row whole"
    texts = [requests[group[0]].context for group in groups]
    members = [index for group in groups for index in group]
    longest = max(map(len, texts)) - 1
    reach = longest + max(len(requests[index].continuation) for index in members)
    if reach > decoder.config.context:  # left padding would push a row beyond the context
        return _plain(decoder, requests, groups, dtype)
    cache = KVCache(reach)
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
    decoder: CausalLM,
    hidden: Float[Tensor, "B T D"],
    requests: Sequence[LikelihoodRequest],
    members: Sequence[int],
    starts: Sequence[int],
    dtype: torch.dtype,
) -> dict[int, Likelihood]:
    """Score continuations whose first tokens are predicted at positions `starts`; no other logits are computed."""
    ids = [requests[index].continuation for index in members]
    places = [(row, start + step) for row, start in enumerate(starts) for step in range(len(ids[row]))]
    row, column = torch.tensor(places, device=hidden.device).unbind(1)
    wanted: Int[Tensor, " N"] = torch.tensor([token for each in ids for token in each], device=hidden.device)
    nats, first = [], []
    for states, tokens in zip(torch.split(hidden[row, column], TOGETHER), torch.split(wanted, TOGETHER), strict=True):
        with autocast(hidden.device, dtype):
            logits = decoder.logits(states).float()
        said = logits.gather(1, tokens[:, None]).squeeze(1)
        nats.append(said.cpu().double() - logits.logsumexp(1).cpu().double())  # not every device supports fp64
        first.append((logits.argmax(1) == tokens).cpu())
    sizes = [len(each) for each in ids]
    return {
        index: Likelihood(float(each.sum()), len(each), bool(hits.all()))
        for index, each, hits in zip(
            members, torch.split(torch.cat(nats), sizes), torch.split(torch.cat(first), sizes), strict=True
        )
    }
