"""From texts to the rows of ids that a classifier reads, and what becomes of texts longer than its context.

`head` reads the beginning. `head-and-tail` reads as much from both ends (Sun et al. 2019, arXiv 1905.05583). `windows`
reads all of a text: one row for each window, whose logits are averaged. It costs as many forward passes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scratchlm.base.errors import UserError
from scratchlm.text.config import LongTexts
from scratchlm.tokens.base import Tokenizer


@dataclass(frozen=True)
class ClassRows:
    """Texts as a classifier reads them."""

    ids: list[list[int]]
    """One row for each text, or several where a long one is read in windows."""
    text: list[int]
    """The number of the text that each row is of, in ascending order."""
    long: int
    """Texts longer than a row."""


def encode_texts(tokenizer: Tokenizer, texts: Sequence[str], context: int, prompt: str = "{text}") -> list[list[int]]:
    """Encode texts in their prompt, each between what begins a text and what ends it; the ends of long ones are cut."""
    return encode_rows(tokenizer, texts, context, prompt).ids


def encode_rows(
    tokenizer: Tokenizer, texts: Sequence[str], context: int, prompt: str = "{text}", long: LongTexts = "head"
) -> ClassRows:
    """Encode texts in their prompt, each between what begins a text and what ends it.

    Of a text too long for the model `long` says what is read; the prompt is never cut. Raises `UserError` for a prompt
    without room, and for texts that cannot be encoded.
    """
    begin = [] if tokenizer.begin_of_text is None else [tokenizer.begin_of_text]
    end = [] if tokenizer.end_of_text is None else [tokenizer.end_of_text]
    before, after = prompt.split("{text}")
    room = context - len(begin) - len(end)
    encoded = [ids.tolist() for ids in tokenizer.encode_batch([before + text + after for text in texts])]
    parts = [[ids] for ids in encoded]
    too_long = [index for index, ids in enumerate(encoded) if len(ids) > room]
    if too_long:
        first = tokenizer.encode(before) if before else []
        last = tokenizer.encode_after(after) if after else []
        left = room - len(first) - len(last)
        if left < 1:
            raise UserError(f"--prompt: has {len(first) + len(last)} tokens; the model sees {context}; shorten it")
        for index in too_long:
            text = tokenizer.encode_after(texts[index]) if first else tokenizer.encode(texts[index])
            parts[index] = [[*first, *part, *last] for part in parts_of(text, left, long)]
    rows = [[*begin, *ids, *end] for part in parts for ids in part]
    if not all(rows):
        raise UserError("text: is empty, and this tokenizer has no token that could stand for it; give some text")
    return ClassRows(rows, [index for index, part in enumerate(parts) for _ in part], len(too_long))


def parts_of(ids: Sequence[int], room: int, long: LongTexts) -> list[list[int]]:
    """Return what is read of a text's ids, at most `room` at once; windows are as few as hold it all, evenly spaced."""
    if long == "head" or len(ids) <= room:
        return [list(ids[:room])]
    if long == "head-and-tail":
        tail = room // 2
        return [[*ids[: room - tail], *ids[len(ids) - tail :]]]
    count = math.ceil(len(ids) / room)
    starts = [round(number * (len(ids) - room) / (count - 1)) for number in range(count)]
    return [list(ids[start : start + room]) for start in starts]
