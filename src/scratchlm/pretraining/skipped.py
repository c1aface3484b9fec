"""What a run reports of the batches that it skipped: which documents are in them, and which of these is to blame."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from scratchlm.base.config import known_values
from scratchlm.base.files import read_json
from scratchlm.base.runfolder import SKIPPED
from scratchlm.data.batches import Batch
from scratchlm.data.shards import ShardSet
from scratchlm.tokens.base import Tokenizer

NAMED = 5
"""Documents of a batch that are named, those of the highest loss."""
SHOWN = 80
"""Characters of a document that are shown."""


@dataclass(frozen=True)
class BadDocument:
    """A document of a skipped batch."""

    number: int
    """Its place among the prepared documents, from 0 on."""
    loss: float | None
    """Mean loss of its tokens in the batch, in nats; None where it is not finite."""
    tokens: int
    """How many of them the batch holds."""
    text: str
    """How these begin."""


@dataclass(frozen=True)
class SkippedStep:
    """A step that was skipped."""

    step: int
    problem: str
    documents: tuple[BadDocument, ...] = ()


def documents_in(shards: ShardSet, tokenizer: Tokenizer) -> Callable[[Batch, Tensor], dict[str, Any]]:
    """Return what names the documents of a batch by the loss of its tokens, those of the highest loss first."""

    def describe(batch: Batch, losses: Tensor) -> dict[str, Any]:
        assert batch.starts is not None
        described = [
            document
            for start, row in zip(batch.starts.tolist(), losses.float().cpu().numpy(), strict=True)
            for document in _documents_of_row(shards, tokenizer, start, row)
        ]
        described.sort(key=lambda document: -math.inf if document.loss is None else -document.loss)
        return {"documents": [asdict(each) for each in described[:NAMED]], "starts": batch.starts.tolist()}

    return describe


def _documents_of_row(shards: ShardSet, tokenizer: Tokenizer, start: int, losses: np.ndarray) -> Iterator[BadDocument]:
    """Yield the documents of a row whose first token is at `start`; a loss belongs to the token after its place."""
    begins, first, end = shards.document_starts, start + 1, start + 1 + len(losses)
    at = max(0, int(np.searchsorted(begins, first, side="right")) - 1)
    while first < end:
        following = int(begins[at + 1]) if at + 1 < len(begins) else end
        last = min(end, following)
        text = " ".join(tokenizer.decode(shards.read(first, min(last, first + SHOWN)).tolist()).split())
        part = losses[first - start - 1 : last - start - 1]
        predicted = part[part != 0.0]
        mean = float(predicted.mean()) if len(predicted) else math.nan
        yield BadDocument(at, round(mean, 4) if math.isfinite(mean) else None, len(part), text[:SHOWN])
        first, at = last, at + 1


def skipped_steps(run: Path) -> list[SkippedStep]:
    """Return the skipped steps of a run, in order."""
    paths = sorted((run / SKIPPED).glob("*.json"))
    return [known_values(SkippedStep, {"step": int(path.stem), **read_json(path)}, str(path)) for path in paths]
