"""Minimal pairs: whether a model assigns the grammatical sentence a higher likelihood than the ungrammatical one.

The log-likelihood is that of the whole sentence, as in BLiMP (Warstadt et al. 2020, arXiv 1912.00582); the score of a
benchmark is the mean of its sets' accuracies. A sentence follows the token that begins a text, without the leading
space that the task `blimp` adds: some close pairs come out differently there.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from scratchlm.base.errors import UserError
from scratchlm.base.reading import read_plain_text
from scratchlm.evaluation.likelihood import encode_requests, likelihoods
from scratchlm.model.decoder import Decoder
from scratchlm.tokens.base import Tokenizer

ROWS = 256
"""Sentences in a batch."""


@dataclass(frozen=True)
class Pair:
    """Two sentences that differ in what makes one of them ungrammatical."""

    good: str
    bad: str


def read_pairs(path: Path) -> list[Pair]:
    """Read a set from JSON lines with `sentence_good` and `sentence_bad`; a `UserError` names a line without them."""
    pairs = []
    for number, line in enumerate(read_plain_text(path).splitlines(), 1):
        try:
            record = json.loads(line)
            pairs.append(Pair(record["sentence_good"], record["sentence_bad"]))
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path}, line {number}: no JSON with sentence_good and sentence_bad ({error})") from error
    return pairs


def pair_accuracy(
    decoder: Decoder, tokenizer: Tokenizer, pairs: Sequence[Pair], dtype: torch.dtype = torch.float32
) -> float:
    """Return the fraction of pairs whose good sentence is the likelier one; a tie counts half."""
    requests = encode_requests(tokenizer, [("", text) for pair in pairs for text in (pair.good, pair.bad)])
    likelihoods_of = likelihoods(decoder, requests, rows=ROWS, dtype=dtype)
    scores = np.array([each.nats for each in likelihoods_of]).reshape(-1, 2)
    return float(np.mean(np.where(scores[:, 0] == scores[:, 1], 0.5, scores[:, 0] > scores[:, 1])))
