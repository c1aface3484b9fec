"""Settings of the server. Imports no torch, so `--help` answers without loading it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from scratchlm.base.errors import raise_all
from scratchlm.base.ranges import Amount, Count, Positive, Range, Rows, Threads, out_of_range
from scratchlm.config.settings import Positional, Spelling
from scratchlm.generation.config import Use

NAMED = re.compile(r"(?:(?P<name>[^=/\\]+)=)?(?P<place>.+)", re.DOTALL)
ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#@\s]+", re.IGNORECASE)
Models = Annotated[Positional[tuple[str, ...]], Spelling("MODEL [MODEL ...]", "required: one or more")]


@dataclass(frozen=True)
class ServeConfig:
    """Answer programs that speak OpenAI's API: completions, chat, embeddings; and /v1/classify for classifiers.

    A client names a model by the name given here, by default that of its folder. The environment variable
    SCRATCHLM_API_KEY, where it is set, holds the key that clients must send. Ctrl-C ends the server after the answers
    in hand.
    """

    models: Models
    """Model folders or run folders, each after its name and "=" where the name differs from the folder's."""
    adapters: tuple[str, ...] = ()
    """LoRA runs that began from the first model, as NAME=RUN: each is a model of its own to clients."""
    use: Use = "best"
    """Which classifier of a model answers /v1/classify: its network, the linear model beside it, or the one with the
    higher F1 on the held-out texts."""
    host: str = "127.0.0.1"
    """Address to listen at; 0.0.0.0 lets other machines in."""
    port: Annotated[int, Range(0, 65_535)] = 8000
    """Port; 0 takes a free one."""
    allow_origin: tuple[str, ...] = ()
    """Sites whose pages may ask this server, and under whose names it answers, as https://host:port; * allows any."""
    rows: Rows = 256
    """Most texts of a model that are written at the same time."""
    queue: Amount = 256
    """Most texts that wait for a row; more are refused with status 429."""
    cache_mib: Count = 1024
    """Most memory for keys and values of a model, in MiB; at least one whole context is held."""
    body_kib: Count = 4096
    """Largest body of a request, in KiB; more is refused with status 413."""
    patience: Positive = 30.0
    """Seconds in which a client must send its request, read what is written, and within which a shutdown ends."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where to compute."""
    threads: Threads = None
    """CPU threads; all cores if not given."""

    def __post_init__(self) -> None:
        """Check ranges and names; every problem is reported at once."""
        problems = out_of_range(self)
        named = [split_name(each) for each in (*self.models, *self.adapters)]
        names = [name for name, _ in named]
        problems += [
            f"--adapters {each}: has no name; write it as NAME=RUN" for each in self.adapters if "=" not in each
        ]
        problems += [
            f"--allow-origin {each}: is no origin; write it as https://host:port without a path, or * for any"
            for each in self.allow_origin
            if each != "*" and not ORIGIN.fullmatch(each)
        ]
        problems += [
            f"model {name!r}: two have this name; give each its own, as in NAME={place}"
            for at, (name, place) in enumerate(named)
            if name in names[:at]
        ]
        raise_all(problems)


def split_name(text: str) -> tuple[str, Path]:
    """Return the name that clients use, and the place: `poet=runs/poet`, or `runs/poet` for the same."""
    match = NAMED.fullmatch(text)
    assert match is not None
    place = Path(match["place"])
    return match["name"] or place.resolve().name, place
