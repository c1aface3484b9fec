"""Where batches of text are encoded: on the threads of this machine, or by Ray on several machines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from scratchlm.base.cluster import joined_ray
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
