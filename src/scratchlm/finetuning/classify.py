"""Classes of texts: a head on the hidden state of a text's last token, trained on labelled texts.

The target of a text stands at its last token, behind which nothing has a part: what a text is called depends neither on
padding nor on the texts beside it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from scratchlm.base.device import autocast
from scratchlm.base.errors import UserError, raise_first
from scratchlm.model.config import ClassesConfig
from scratchlm.model.decoder import Decoder
from scratchlm.text.records import Record, require_columns
from scratchlm.text.rows import TEXT_FIELDS, listed
from scratchlm.tokens.base import Tokenizer
from scratchlm.tokens.batches import IGNORED, Batch, padded
from scratchlm.training.loss import Loss
from scratchlm.weights.checkpoint import SavedModel

LABEL_FIELDS = ("label", "labels", "class", "category", "intent", "target", "sentiment", "topic")
BATCH_TOKENS = 4096
"""Tokens of one forward pass, about, when texts are classified."""


@dataclass(frozen=True)
class Labelled:
    """A text and what it is called."""

    text: str
    label: str


def read_labelled(records: Sequence[Record], text_column: str | None, label_column: str | None) -> list[Labelled]:
    """Take text and label out of rows; columns that are not named are found by the usual names.

    Raises `UserError` for columns that are not there or not clear, and with every text that is empty or no text.
    """
    text_column, label_column = _columns(records[0], text_column, label_column)
    require_columns(records, [text_column], "--text-column")
    require_columns(records, [label_column], "--label-column")
    problems, found = [], []
    for record in records:
        text, label = record.values[text_column], record.values[label_column]
        if not isinstance(text, str) or not text.strip():
            problems.append(f"{record.place}: the text is empty; remove the row")
        elif label is None or not str(label).strip():
            problems.append(f"{record.place}: the label is empty; remove the row")
        else:
            found.append(Labelled(text, str(label).strip()))
    raise_first(problems, "rows")
    return found


def _columns(first: Record, text_column: str | None, label_column: str | None) -> tuple[str, str]:
    """Choose the columns of text and label where they are not given."""
    names = [name for name in first.values if name not in (text_column, label_column)]
    if label_column is None:
        usual = [name for field in LABEL_FIELDS for name in names if str(name).lower() == field]
        label_column = usual[0] if usual else names[0] if len(names) == 1 and text_column else None
    if text_column is None:
        names = [name for name in names if name != label_column]
        usual = [name for field in TEXT_FIELDS for name in names if str(name).lower() == field]
        text_column = usual[0] if usual else names[0] if len(names) == 1 else None
    if text_column is None or label_column is None:
        flags = " and ".join(["--text-column"] * (text_column is None) + ["--label-column"] * (label_column is None))
        raise UserError(f"{first.place}: which column is which? Columns: {listed(first.values)}; say it with {flags}")
    return text_column, label_column


def labels_of(texts: Sequence[Labelled], held_out: Sequence[Labelled] = ()) -> tuple[str, ...]:
    """Return the labels in the order of the alphabet.

    Raises `UserError` where there is one alone, and for held-out labels that training never sees.
    """
    labels = tuple(sorted({each.label for each in texts}))
    if len(labels) < 2:
        raise UserError(f"labels: all {len(texts):,} texts are {labels[0]!r}; a classifier needs at least two classes")
    unseen = sorted({each.label for each in held_out} - set(labels))
    if unseen:
        raise UserError(
            f"labels: {', '.join(map(repr, unseen[:5]))} of the held-out texts never occur in training; "
            "correct the labels, or move some of those texts to training"
        )
    return labels


def encode_texts(tokenizer: Tokenizer, texts: Sequence[str], context: int) -> list[list[int]]:
    """Encode texts, each between what begins a text and what ends it; of one too long for the model the end is cut."""
    begin = [] if tokenizer.begin_of_text is None else [tokenizer.begin_of_text]
    end = [] if tokenizer.end_of_text is None else [tokenizer.end_of_text]
    room = context - len(begin) - len(end)
    rows = [[*begin, *ids.tolist()[:room], *end] for ids in tokenizer.encode_batch(list(texts))]
    if not all(rows):
        raise UserError("text: is empty, and this tokenizer has no token that could stand for it; give some text")
    return rows


def add_classes(model: SavedModel, labels: Sequence[str], pooling: Literal["last", "mean"], seed: int) -> None:
    """Give a model a head for `labels`, drawn from `seed`; one that it has is replaced."""
    decoder = model.decoder
    decoder.config = replace(decoder.config, classes=ClassesConfig(len(labels), pooling))
    generator = torch.Generator().manual_seed(seed)
    head = nn.Linear(decoder.config.width, len(labels), bias=False, device="meta")
    drawn = torch.randn(len(labels), decoder.config.width, generator=generator) * decoder.config.init_std
    head.weight = nn.Parameter(drawn.to(decoder.embedding.weight.device))
    decoder.classifier = head


def class_loss(weights: Float[Tensor, " C"] | None = None) -> Loss:
    """Return the summed cross-entropy of the classes, each text's multiplied by the weight of its class."""

    def loss(decoder: Decoder, batch: Batch) -> Float[Tensor, ""]:
        last = (batch.targets != IGNORED).int().argmax(1)
        logits = decoder.class_logits(decoder.hidden(batch.ids), last).float()
        labels = batch.targets.gather(1, last[:, None]).squeeze(1)
        heavy = None if weights is None else weights.to(logits.device)
        return F.cross_entropy(logits, labels, heavy, reduction="sum")

    return loss


def balanced_weights(labels: Sequence[int], classes: int) -> Float[Tensor, " C"]:
    """Return weights by which all classes weigh the same in sum, their mean over the texts being 1."""
    counts = Counter(labels)
    return torch.tensor([len(labels) / (classes * counts[index]) for index in range(classes)])


@torch.no_grad()
def class_logits(
    decoder: Decoder, rows: Sequence[Sequence[int]], dtype: torch.dtype = torch.float32
) -> Float[np.ndarray, "N C"]:
    """Score the classes of texts that are encoded; those of like length share a forward pass."""
    device = decoder.embedding.weight.device
    decoder.eval()
    found: dict[int, np.ndarray] = {}
    for chosen in _alike(rows):
        ids, last = padded([rows[index] for index in chosen])
        with autocast(device, dtype):
            logits = decoder.class_logits(decoder.hidden(ids.to(device)), last.to(device))
        found.update(zip(chosen, logits.float().cpu().numpy(), strict=True))
    return np.stack([found[index] for index in range(len(rows))])


def _alike(rows: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    """Yield the places of rows of like length, as many as a forward pass takes; the longest first."""
    order = sorted(range(len(rows)), key=lambda index: len(rows[index]))
    while order:
        count = max(1, BATCH_TOKENS // len(rows[order[-1]]))
        yield order[-count:]
        order = order[:-count]
