"""`scratchlm evaluate`: loss and bits per byte on held-out text, in fp32, every token predicted once."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from scratchlm.base.device import choose_device, set_threads
from scratchlm.base.errors import UserError
from scratchlm.evaluation.bits import HeldOutLoss, held_out_loss
from scratchlm.evaluation.config import EvaluateConfig
from scratchlm.text.counts import Counts
from scratchlm.text.sources import open_source
from scratchlm.tokens.base import Tokenizer
from scratchlm.tokens.batches import ArrayTokens, Tokens
from scratchlm.tokens.shards import ShardSet
from scratchlm.weights.checkpoint import find_model, load_model


@dataclass(frozen=True)
class EvaluateResult:
    """What a model pays for a text."""

    model: str
    text: str
    held_out: HeldOutLoss
    documents: int
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """Return the result as plain data."""
        return {
            "model": self.model,
            "text": self.text,
            "documents": self.documents,
            **self.held_out.as_dict(),
            "seconds": self.seconds,
        }

    def __rich__(self) -> str:
        held = self.held_out
        return (
            f"{held.bits_per_byte:.4f} bits per byte, loss {held.loss:.4f} nats a token, perplexity "
            f"{held.perplexity:.2f}, over {held.tokens:,} tokens ({held.text_bytes:,} bytes, {self.documents:,} "
            f"documents), each predicted once; {self.seconds:.1f} s"
        )


def evaluate(config: EvaluateConfig) -> EvaluateResult:
    """Score every token of the held-out side of `config.data`, or of the documents of `config.text`.

    Raises `UserError` when model, tokenizer and data do not belong together or there is no text.
    """
    started = time.perf_counter()
    set_threads(config.threads)
    folder = find_model(config.model)
    saved = load_model(folder)
    tokens: Tokens
    if config.data is not None:
        shards = ShardSet.open(config.data, "validation", saved.tokenizer)
        tokens, documents, name = shards, len(shards.document_starts), str(config.data)
    else:
        tokens, documents = _encode(config, saved.tokenizer)
        name = str(config.text)
    if len(tokens) == 0:
        raise UserError(f"{name}: holds no token to predict; name a text that is not empty")
    saved.decoder.to(choose_device(config.device))
    held_out = held_out_loss(saved.decoder, saved.tokenizer, tokens)
    return EvaluateResult(str(folder), name, held_out, documents, time.perf_counter() - started)


def _encode(config: EvaluateConfig, tokenizer: Tokenizer) -> tuple[ArrayTokens, int]:
    """Encode all documents of a text, each ended by the end-of-text token where the tokenizer has one."""
    source = open_source(str(config.text), text_field=config.text_field)
    rows: list[np.ndarray] = []
    documents, counts = 0, Counts()
    for document in source.documents(counts):
        ids = tokenizer.encode(document.text)
        if not document.continued:
            documents += 1
            ids = ids if tokenizer.end_of_text is None else [*ids, tokenizer.end_of_text]
        rows.append(np.array(ids, dtype=np.int64))
    counts.warn()
    return ArrayTokens(np.concatenate(rows)), documents
