"""Probes of chapter 2: byte-pair encoding and windows."""

from __future__ import annotations

from types import ModuleType

import torch

from scratchlm.lab.course.probing import Outputs

TEXT = "the cat sat on the mat; the hat that the cat had, aaaa ähnlich ä 猫 12 12!\n" * 2
"""Words that occur again, letters of two and three bytes, four equal ones."""


def merge(mine: ModuleType) -> Outputs:
    """Pairs at the beginning and the end, of equal ids, in the wrong order, and none."""
    for ids, pair in (
        ([1, 2, 3, 1, 2], (1, 2)),
        ([5, 5, 5, 5, 5], (5, 5)),
        ([2, 1, 3, 1, 2, 1], (1, 2)),
        ([7, 8], (1, 2)),
        ([], (1, 2)),
        ([1], (1, 1)),
    ):
        copy = list(ids)
        yield f"merge({ids}, {pair}, 9)", mine.merge(copy, pair, 9)
        yield f"merge({ids}, {pair}, 9): inputs that were changed", [] if copy == ids else ["ids"]


def tokenizer(mine: ModuleType) -> Outputs:
    """A text with ties, sizes that end the training early and late."""
    for text, size in ((TEXT, 270), ("ab ab ba ba cd", 300), ("ää", 259), ("", 260)):
        trained = mine.Tokenizer(text, size)
        label = f"Tokenizer({text[:20]!r}, {size})"
        yield f"{label}: merges", {tuple(pair): new for pair, new in trained.merges.items()}
        yield f"{label}: the number of ids", len(trained.bytes)
        yield f"{label}: bytes of the merges", list(trained.bytes[256:])


def encode(mine: ModuleType) -> Outputs:
    """Words of the training text, new ones, and none; then merges whose order decides."""
    trained = mine.Tokenizer(TEXT, 290)
    for text in ("the cat", "that hat, aaa", "ähnliche 猫", "", "  \n\tx"):
        yield f"encode({text!r})", trained.encode(text)
    for merges in (
        {(97, 98): 256, (98, 99): 257},
        {(98, 99): 256, (97, 98): 257, (256, 256): 258, (97, 258): 259},
        {(97, 32): 256},
    ):
        trained.merges = dict(merges)
        for text in ("abc", "abcbc", "a a"):
            yield f"encode({text!r}) with the merges {merges}", trained.encode(text)


def decode(mine: ModuleType) -> Outputs:
    """All of a text, and ids that end inside a character."""
    trained = mine.Tokenizer(TEXT, 262)
    for text in ("the cat ähnlich 猫", ""):
        ids = trained.encode(text)
        yield f"decode({ids})", trained.decode(ids)
    for ids in ([0xC3], [0x61, 0xE7, 0x8C], [0xC3, 0xA4]):
        yield f"decode({ids})", trained.decode(ids)


def windows(mine: ModuleType) -> Outputs:
    """Windows that overlap, and one that ends with the text."""
    ids = torch.arange(100, 130)
    for starts, context in (([0, 7, 3], 4), ([24], 5), ([1, 1], 1)):
        yield f"windows(ids, {starts}, {context})", mine.windows(ids, torch.tensor(starts), context)


PROBES = {
    "merge": merge,
    "Tokenizer.__init__": tokenizer,
    "Tokenizer.encode": encode,
    "Tokenizer.decode": decode,
    "windows": windows,
}
