"""Where batches of text are encoded: on the threads of this machine, or by Ray on several machines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from scratchlm.base.cluster import joined_ray
from scratchlm.base.errors import UserError
from scratchlm.text.counts import Counts
from scratchlm.text.sources import open_source
from scratchlm.tokens.base import Ids, Tokenizer

Encoded = Callable[[], list[Ids]]
"""Waits for a batch, and returns the ids of each of its texts."""


class Encoder(Protocol):
    """Encodes batches, several at a time."""

    most: int
    """Batches that are worth beginning before the first is waited for."""

    def start(self, texts: Sequence[str]) -> Encoded:
        """Begin a batch."""


class Here:
    """On threads of this process, one batch after the other."""

    most = 1

    def __init__(self, tokenizer: Tokenizer, threads: int | None) -> None:
        self.tokenizer, self.threads = tokenizer, threads

    def start(self, texts: Sequence[str]) -> Encoded:
        """Encode a batch when it is waited for."""
        return lambda: self.tokenizer.encode_batch(texts, self.threads)


class EncodeOnRay:
    """Each batch as a task of a Ray cluster, which gives it `threads` cores, by default one."""

    def __init__(self, tokenizer: Tokenizer, threads: int | None) -> None:
        self.ray, self.threads = joined_ray("--on"), threads or 1
        self.tokenizer = self.ray.put(tokenizer)  # sent once to each machine
        self.most = 2 * max(1, int(self.ray.cluster_resources().get("CPU", 1)) // self.threads)
        self.task = self.ray.remote(_encode).options(num_cpus=self.threads)

    def start(self, texts: Sequence[str]) -> Encoded:
        """Hand a batch to Ray, which tries again where a machine is lost."""
        waiting = self.task.remote(self.tokenizer, list(texts), self.threads)

        def encoded() -> list[Ids]:
            try:
                return list(self.ray.get(waiting))
            except self.ray.exceptions.RayTaskError as error:
                raise error.cause from None  # its own text is the whole trace of another machine

        return encoded


def _encode(tokenizer: Tokenizer, texts: Sequence[str], threads: int) -> list[Ids]:
    return tokenizer.encode_batch(texts, threads)


def first_tokens(text: str, tokenizer: Tokenizer, most: int) -> list[int]:
    """Return the first tokens of a source of text, each document ended where the tokenizer has an end of text.

    Raises `UserError` as `open_source` does, and for a text that holds no token.
    """
    ids: list[int] = []
    counts = Counts()
    end = [] if tokenizer.end_of_text is None else [tokenizer.end_of_text]
    for document in open_source(text).documents(counts):
        ids += [*tokenizer.encode(document.text), *end]
        if len(ids) >= most:
            break
    counts.warn()
    if not ids:
        raise UserError(f"{text}: holds no token; name a text that is not empty")
    return ids[:most]
