"""Labelled texts for classification: the columns of texts and labels of a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor

from scratchlm.base.errors import UserError, raise_first
from scratchlm.text.columns import find_columns
from scratchlm.text.records import TableRow, require_columns
from scratchlm.text.split import hash_fraction


@dataclass(frozen=True)
class Labelled:
    """A text and its label."""

    text: str
    label: str


def read_labelled(records: Sequence[TableRow], text_column: str | None, label_column: str | None) -> list[Labelled]:
    """Read text and label of each row; columns that are not given are found by their usual names.

    Raises `UserError` for columns that are missing or ambiguous, and lists every text that is empty or not a string.
    """
    first = records[0]
    columns = find_columns(first.values, {"text": text_column, "label": label_column}, first.place)
    text_column, label_column = columns["text"], columns["label"]
    require_columns(records, [text_column], "--text-column")
    require_columns(records, [label_column], "--label-column")
    problems, rows = [], []
    for record in records:
        text, label = record.values[text_column], record.values[label_column]
        if not isinstance(text, str) or not text.strip():
            problems.append(f"{record.place}: the text is empty; remove the row")
        elif label is None or not str(label).strip():
            problems.append(f"{record.place}: the label is empty; remove the row")
        else:
            rows.append(Labelled(text, str(label).strip()))
    raise_first(problems, "rows")
    return rows


def labels_of(texts: Sequence[Labelled], held_out: Sequence[Labelled] = ()) -> tuple[str, ...]:
    """Return the labels in alphabetical order.

    Raises `UserError` for a single label, and for held-out labels that do not occur in training.
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


def two_parts(texts: Sequence[Labelled], fraction: float) -> tuple[list[Labelled], list[Labelled]]:
    """Split off a fraction of the texts of each class, those with the lowest hashes; return the rest, and that part.

    Copies stay together, and a text with several labels stays in the rest. Each class keeps at least one text, and
    gives one where it has two, so the part of a small table is small. The hash differs from that of `two_sides`.
    """
    labels: dict[float, set[str]] = {}
    hashes = [hash_fraction(f"validation {each.text}") for each in texts]
    for mark, each in zip(hashes, texts, strict=True):
        labels.setdefault(mark, set()).add(each.label)
    aside: set[float] = set()
    for label in sorted({each.label for each in texts}):
        own = sorted(mark for mark, known in labels.items() if known == {label})
        wanted = max(1, floor(fraction * len(own) + 0.5)) if fraction else 0
        aside.update(own[: min(wanted, len(own) - 1)])
    parts: tuple[list[Labelled], list[Labelled]] = [], []
    for mark, each in zip(hashes, texts, strict=True):
        parts[mark in aside].append(each)
    return parts
