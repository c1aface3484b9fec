"""Settings of generation. Imports no torch, so commands answer `--help` without loading it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from tyro.conf import OmitArgPrefixes, Positional

from scratchlm.base.errors import UserError, raise_all
from scratchlm.base.flags import ModelFolder


@dataclass(frozen=True)
class SamplingConfig:
    """How the next token is chosen from the model's probabilities."""

    max_tokens: int = 200
    """Most new tokens."""
    temperature: float = 0.8
    """Logits are divided by it: lower is safer, 0 takes the likeliest token always."""
    top_k: int = 0
    """Keep only the k likeliest tokens; 0 keeps all."""
    top_p: float = 1.0
    """Keep the likeliest tokens that together reach this probability (Holtzman et al. 2019); 1 keeps all."""
    min_p: float = 0.0
    """Keep tokens at least this share as likely as the likeliest (Nguyen et al. 2024); 0 keeps all."""
    repetition_penalty: float = 1.0
    """Logits of tokens already there are divided (positive) or multiplied (negative) by it; 1 does nothing."""
    stop: tuple[str, ...] = ()
    """Texts that end the output where they first appear; they are not part of it."""
    stop_ids: tuple[int, ...] = ()
    """Token ids that end the output, besides the end of a text and of a turn."""
    seed: int = 0
    """Seed of the draw: the same prompt, settings and seed give the same text."""

    def __post_init__(self) -> None:
        """Check ranges; every problem is reported at once."""
        problems = []
        if self.max_tokens < 1:
            problems.append(f"--max-tokens {self.max_tokens}: must be at least 1")
        if not self.temperature >= 0:
            problems.append(f"--temperature {self.temperature}: must not be negative; 0 takes the likeliest token")
        if self.top_k < 0:
            problems.append(f"--top-k {self.top_k}: must not be negative; 0 keeps all tokens")
        if not 0 < self.top_p <= 1:
            problems.append(f"--top-p {self.top_p}: must be over 0 and at most 1")
        if not 0 <= self.min_p <= 1:
            problems.append(f"--min-p {self.min_p}: must be between 0 and 1")
        if not self.repetition_penalty > 0:
            problems.append(f"--repetition-penalty {self.repetition_penalty}: must be over 0; 1 does nothing")
        if "" in self.stop:
            problems.append("--stop '': an empty text would stop at once; leave it out")
        raise_all(problems)


@dataclass(frozen=True)
class GenerateConfig:
    """Continue a text: print the completion alone."""

    model: ModelFolder
    """Model folder or run folder."""
    prompt: Positional[str] = ""
    """Text to continue; without, the model begins a document."""
    sampling: SamplingConfig | None = None
    """How tokens are chosen; None: as the model was saved to. One that is given replaces that whole."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where to compute."""
    threads: int | None = None
    """CPU threads; all cores if not given."""
    json: bool = False
    """Print prompt and completion as JSON."""


@dataclass(frozen=True)
class ResolvedGenerateConfig(GenerateConfig):
    """A `GenerateConfig` that holds all its values; `language_model.resolve_sampling` makes it."""

    sampling: OmitArgPrefixes[SamplingConfig] = field(default_factory=SamplingConfig)
    """How the next token is chosen from the model's probabilities."""


@dataclass(frozen=True)
class ChatConfig:
    """Talk with a model that has learned conversations.

    On a terminal, Ctrl-C ends an answer; an empty line, Ctrl-D, or Ctrl-C where a message is asked for ends the chat.
    """

    model: ModelFolder
    """Model folder or run folder."""
    message: str | None = None
    """Answer this one message and end; without, messages are read line by line."""
    sampling: SamplingConfig | None = None
    """How tokens are chosen; None: as the model was saved to. One that is given replaces that whole."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where to compute."""
    threads: int | None = None
    """CPU threads; all cores if not given."""


@dataclass(frozen=True)
class ResolvedChatConfig(ChatConfig):
    """A `ChatConfig` that holds all its values; `language_model.resolve_sampling` makes it."""

    sampling: OmitArgPrefixes[SamplingConfig] = field(default_factory=SamplingConfig)
    """How the next token is chosen from the model's probabilities."""


@dataclass(frozen=True)
class ClassifyConfig:
    """Put texts into the classes that a model has learned: label, probability, threshold and text, one text a line.

    The threshold is that of the sought one of two labels, chosen in training. A text that cannot be read is told on
    stderr, the others are answered, and the exit code is 1.
    """

    model: ModelFolder
    """Model folder or run folder of a classifier."""
    texts: Positional[tuple[str, ...]] = ()
    """Texts; without any, each line of the standard input that is not empty is one."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where to compute."""
    threads: int | None = None
    """CPU threads; all cores if not given."""
    json: bool = False
    """Print labels and probabilities as JSON, one text a line."""

    def __post_init__(self) -> None:
        """Check ranges."""
        if self.threads is not None and self.threads < 1:
            raise UserError(f"--threads {self.threads}: must be at least 1")
