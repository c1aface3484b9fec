"""Minimal pairs: whether a model finds the grammatical sentence likelier than its ungrammatical twin.

Log-likelihood of the whole sentence, as BLiMP asks (Warstadt et al. 2020, arXiv 1912.00582); the score of a benchmark
is the mean of its sets' accuracies.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from scratchlm.base.device import autocast
from scratchlm.base.errors import UserError
from scratchlm.model.decoder import Decoder
from scratchlm.tokens.base import Tokenizer, first_token
from scratchlm.tokens.batches import padded

BATCH_TOKENS = 8192
"""Tokens of one forward pass, about."""


@dataclass(frozen=True)
class Pair:
    """Two sentences that differ in what makes one of them ungrammatical."""

    good: str
    bad: str


def read_pairs(path: Path) -> list[Pair]:
    """Read a set from JSON lines with `sentence_good` and `sentence_bad`; a `UserError` names a line without them."""
    pairs = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            record = json.loads(line)
            pairs.append(Pair(record["sentence_good"], record["sentence_bad"]))
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path}, line {number}: no JSON with sentence_good and sentence_bad ({error})") from error
    return pairs


@torch.no_grad()
def log_likelihoods(
    decoder: Decoder, rows: Sequence[Sequence[int]], first: int, dtype: torch.dtype = torch.float32
) -> Float[np.ndarray, " N"]:
    """Return the natural log of each row's probability after the id `first`, summed over its tokens.

    Rows of like length share a forward pass; padding stands behind a row, where no position sees it.
    """
    device = decoder.embedding.weight.device
    decoder.eval()
    found = np.zeros(len(rows))
    order = sorted(range(len(rows)), key=lambda index: len(rows[index]))
    while order:
        count = max(1, BATCH_TOKENS // max(len(rows[order[-1]]), 1))  # the longest first: memory is known at once
        chosen, order = order[-count:], order[:-count]
        table = padded([[first, *rows[index]] for index in chosen])[0].to(device)
        with autocast(device, dtype):
            logits = decoder(table[:, :-1]).float()
        scores = logits.log_softmax(-1).gather(-1, table[:, 1:, None]).squeeze(-1)
        lengths = torch.tensor([len(rows[index]) for index in chosen], device=device)
        inside = torch.arange(scores.size(1), device=device) < lengths[:, None]
        found[chosen] = (scores.double() * inside).sum(1).cpu().numpy()
    return found


def pair_accuracy(
    decoder: Decoder, tokenizer: Tokenizer, pairs: Sequence[Pair], dtype: torch.dtype = torch.float32
) -> float:
    """Return the share of pairs whose good sentence is the likelier; a tie counts half."""
    first = first_token(tokenizer)
    if first is None:
        raise UserError("the tokenizer has no end-of-text token, after which a sentence could begin")
    texts = [text for pair in pairs for text in (pair.good, pair.bad)]
    rows = [ids.tolist() for ids in tokenizer.encode_batch(texts)]
    scores = log_likelihoods(decoder, rows, first, dtype).reshape(-1, 2)
    return float(np.mean(np.where(scores[:, 0] == scores[:, 1], 0.5, scores[:, 0] > scores[:, 1])))
