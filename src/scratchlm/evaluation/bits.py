"""Loss and bits per byte on held-out text.

Every token is predicted once, in windows that do not overlap unless a stride is given, the first from an end-of-text
token before it. Bits per byte divides by the UTF-8 bytes of the text, not by tokens, so models with different
tokenizers can be compared. The tokens that end documents add to the loss but have no bytes; `<|unk|>`, which replaces
words of any length, has none either.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from scratchlm.base.device import autocast
from scratchlm.data.batches import IGNORED, ArrayTokens, Batch, Tokens, overlapping_windows, whole_windows
from scratchlm.model.ensemble import Ensemble
from scratchlm.model.network import CausalLM
from scratchlm.tokens.base import Tokenizer, first_token
from scratchlm.tokens.simple import unknown_id
from scratchlm.training.loss import cross_entropy_sum, held_rows, next_token_loss


@dataclass(frozen=True)
class HeldOutLoss:
    """The loss of a model on a text."""

    nats: float
    """Minus the natural log of the text's probability, summed over tokens."""
    tokens: int
    text_bytes: int

    @property
    def loss(self) -> float:
        """Mean nats a token."""
        return self.nats / max(self.tokens, 1)

    @property
    def perplexity(self) -> float:
        """The exponential of the loss: a uniform choice among as many tokens is as uncertain."""
        return math.exp(min(self.loss, 700.0))

    @property
    def bits_per_byte(self) -> float:
        """The summed loss in bits, divided by the UTF-8 bytes of the text."""
        return self.nats / math.log(2) / max(self.text_bytes, 1)

    def as_dict(self) -> dict[str, float]:
        """Return all figures by name."""
        values = {"loss": self.loss, "perplexity": self.perplexity, "bits_per_byte": self.bits_per_byte}
        return {**values, "tokens": self.tokens, "bytes": self.text_bytes}


def count_text_bytes(tokens: Tokens, tokenizer: Tokenizer) -> int:
    """Count the UTF-8 bytes that the ids decode to; special tokens and `<|unk|>` count as none."""
    sizes = token_sizes(tokenizer)
    return sum(int(sizes[ids].sum()) for ids in _blocks(tokens))


def count_unknown(tokens: Tokens, tokenizer: Tokenizer) -> int:
    """Count the tokens that are `<|unk|>`: text that the model is not asked to predict."""
    unknown = unknown_id(tokenizer)
    return 0 if unknown is None else sum(int((ids == unknown).sum()) for ids in _blocks(tokens))


def _blocks(tokens: Tokens) -> Iterator[np.ndarray]:
    """Yield all ids, a million at a time."""
    block = 1 << 20
    return (tokens.read(at, min(at + block, len(tokens))) for at in range(0, len(tokens), block))


def token_sizes(tokenizer: Tokenizer) -> np.ndarray:
    """Return the number of bytes of each id, 0 for special tokens and `<|unk|>`, shape `(V,)`."""
    specials = {*tokenizer.specials.values(), unknown_id(tokenizer)}
    ids = range(tokenizer.vocabulary_size)
    return np.array([0 if id in specials else len(_bytes_or_none(tokenizer, id)) for id in ids], dtype=np.int64)


def _bytes_or_none(tokenizer: Tokenizer, id: int) -> bytes:
    try:
        return tokenizer.token_bytes(id)
    except ValueError:
        return b""  # an id that this vocabulary leaves unused


@torch.no_grad()
def held_out_loss(
    decoder: CausalLM,
    tokenizer: Tokenizer,
    tokens: Tokens | Sequence[int],
    *,
    length: int | None = None,
    rows: int = 16,
    dtype: torch.dtype = torch.float32,
    first: int | None = None,
) -> HeldOutLoss:
    """Score every token of a held-out text once.

    `length` is the window, the model's context by default; `rows` windows are scored together. The text's first
    token is predicted from `first`, `first_token` if it is None.
    """
    source = ArrayTokens(np.asarray(tokens)) if isinstance(tokens, Sequence) else tokens
    decoder.eval()
    device = decoder.device
    first = first_token(tokenizer) or 0 if first is None else first
    nats, count = 0.0, 0
    loss = _loss_of_logits if isinstance(decoder, Ensemble) else next_token_loss
    for batch in whole_windows(source, length or decoder.config.context, rows, first):
        with autocast(device, dtype):
            nats += float(loss(decoder, batch.to(device)))
        count += batch.target_count
    return HeldOutLoss(nats, count, count_text_bytes(source, tokenizer))


def _loss_of_logits(network: CausalLM, batch: Batch) -> Tensor:
    """Return what `next_token_loss` returns, of a network without a head of its own."""
    wanted = batch.targets != IGNORED
    rows = held_rows(network.config.vocabulary_size, torch.float32)
    parts = zip(*(torch.split(each[wanted], rows) for each in (network.hidden(batch.ids), batch.targets)), strict=True)
    return torch.stack([cross_entropy_sum(network.logits(hidden), targets) for hidden, targets in parts]).sum()


@torch.no_grad()
def target_logits(
    decoder: CausalLM, tokenizer: Tokenizer, tokens: Tokens, *, length: int | None = None, rows: int = 16,
    stride: int | None = None,
) -> Iterator[tuple[Float[Tensor, "N V"], Int[Tensor, " N"]]]:  # fmt: skip
    """Yield logits with their targets, a batch of windows at a time: every token of a text once, in its order.

    With a `stride` below `length`, windows overlap, and each token has at least `length - stride` tokens before it
    except at the beginning: slower, and fairer to a model whose context is short.
    """
    decoder.eval()
    device = decoder.device
    size, first = length or decoder.config.context, first_token(tokenizer) or 0
    windows = whole_windows(tokens, size, rows, first)
    for batch in windows if stride is None else overlapping_windows(tokens, size, stride, rows, first):
        moved = batch.to(device)
        wanted = moved.targets != IGNORED
        hidden = decoder.hidden(moved.ids)
        # Whole windows reach the head as they are: fewer rows would be rounded otherwise than in stored results.
        scores = decoder.logits(hidden)[wanted] if stride is None else decoder.logits(hidden[wanted])
        yield scores.float(), moved.targets[wanted]


def token_nats(
    decoder: CausalLM, tokenizer: Tokenizer, tokens: Tokens, *, length: int | None = None, rows: int = 16,
    stride: int | None = None,
) -> Float[np.ndarray, " T"]:  # fmt: skip
    """Return the loss of each token of a text, in nats: the terms that `held_out_loss` sums; see `target_logits`."""
    pieces = []
    for logits, targets in target_logits(decoder, tokenizer, tokens, length=length, rows=rows, stride=stride):
        nats = logits.logsumexp(-1) - logits.gather(-1, targets[:, None]).squeeze(-1)
        pieces.append(nats.double().cpu().numpy())
    return np.concatenate(pieces)
