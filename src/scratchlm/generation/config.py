"""Settings of generation. Imports no torch, so commands answer `--help` without loading it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal, TypedDict

from scratchlm.base.errors import raise_all
from scratchlm.base.ranges import Count, Fraction, Positive, Range, Seed, Threads, out_of_range
from scratchlm.config.settings import File, Flat, Folder, ModelFolder, Positional

Use = Literal["best", "linear", "network"]
"""Which of the two classifiers of a folder answers."""


@dataclass(frozen=True)
class SamplingConfig:
    """How the next token is chosen from the model's probabilities."""

    max_tokens: Count = 200
    """Most new tokens."""
    temperature: Annotated[float, Range(0)] = 0.8
    """Logits are divided by it: lower is safer, 0 takes the likeliest token always."""
    top_k: Annotated[int, Range(0)] = 0
    """Keep only the k likeliest tokens; 0 keeps all."""
    top_p: Annotated[float, Range(over=0, most=1)] = 1.0
    """Keep the likeliest tokens that together reach this probability (Holtzman et al. 2019); 1 keeps all."""
    min_p: Fraction = 0.0
    """Keep tokens at least this fraction as likely as the likeliest (Nguyen et al. 2024); 0 keeps all."""
    repetition_penalty: Positive = 1.0
    """Logits of tokens already there are divided (positive) or multiplied (negative) by it; 1 does nothing."""
    stop: tuple[str, ...] = ()
    """Texts that end the output where they first appear; they are not part of it."""
    stop_ids: Annotated[tuple[int, ...], Range(0)] = ()
    """Token ids that end the output, besides the end of a text and of a turn."""
    seed: Seed = 0
    """Seed of the draw: the same prompt, settings and seed give the same text."""

    def __post_init__(self) -> None:
        """Check ranges; every problem is reported at once."""
        problems = out_of_range(self)
        if "" in self.stop:
            problems.append("--stop '': an empty text would stop at once; leave it out")
        raise_all(problems)


class SamplingSettings(TypedDict, total=False):
    """The fields of `SamplingConfig` as keyword arguments, each of which may be left out."""

    max_tokens: int
    temperature: float
    top_k: int
    top_p: float
    min_p: float
    repetition_penalty: float
    stop: str | Sequence[str]
    stop_ids: Sequence[int]
    seed: int


@dataclass(frozen=True)
class WritingConfig:
    """What writing needs: a model, how tokens are chosen, and where to compute."""

    model: ModelFolder
    """Model folder or run folder."""
    sampling: Flat[SamplingConfig | None] = field(default=None, kw_only=True)
    """How tokens are chosen; None: as the model was saved to. One that is given replaces that whole."""
    device: Literal["auto", "cpu", "cuda", "mps"] = field(default="auto", kw_only=True)
    """Where to compute."""
    threads: Threads = field(default=None, kw_only=True)
    """CPU threads; all cores if not given."""
    raw: bool = field(default=False, kw_only=True)
    """Write control characters to a terminal as they are, instead of showing them as \\x1b and the like."""

    def __post_init__(self) -> None:
        """Check ranges; every problem is reported at once."""
        raise_all(out_of_range(self))


@dataclass(frozen=True)
class GenerateConfig(WritingConfig):
    """Continue a text: print the completion alone."""

    common: ClassVar[tuple[str, ...]] = (
        "max_tokens", "temperature", "top_k", "top_p", "seed", "regex", "json_schema", "threads", "json",
    )  # fmt: skip
    """What `--help` shows; `--help-all` shows the others too."""

    prompt: Positional[str] = ""
    """Text to continue; without, the model begins a document."""
    json: bool = False
    """Print prompt and completion as JSON."""
    beams: Annotated[int, Range(0, 1000)] = 0
    """Search with this many beams for the likeliest text instead of drawing one; 0 draws."""
    draft: Folder | None = None
    """A smaller model with the same tokenizer: its guesses are checked several at a time, for the same text sooner."""
    lookup: bool = False
    """Guess from the text itself instead: for texts that quote their prompt."""
    regex: str | None = None
    """A regular expression that the completion must match."""
    json_schema: File | None = None
    """A file with a JSON schema that the completion must be valid under."""

    def __post_init__(self) -> None:
        """Check ranges and what excludes each other; every problem is reported at once."""
        problems = out_of_range(self)
        for names in (("draft", "lookup", "beams"), ("regex", "json_schema", "beams")):
            chosen = [f"--{name.replace('_', '-')}" for name in names if getattr(self, name)]
            if len(chosen) > 1:
                problems.append(f"{' and '.join(chosen)}: do not go together; give one")
        raise_all(problems)


@dataclass(frozen=True)
class ChatConfig(WritingConfig):
    """Talk with a model that has learned conversations.

    On a terminal, Ctrl-C ends an answer; an empty line, Ctrl-D, or Ctrl-C where a message is asked for ends the chat.
    Lines that begin with a slash are commands: /help lists them.
    """

    common: ClassVar[tuple[str, ...]] = (
        "message", "url", "max_tokens", "temperature", "top_p", "seed", "threads",
    )  # fmt: skip
    """What `--help` shows; `--help-all` shows the others too."""

    message: str | None = None
    """Answer this one message and end; without, messages are read line by line."""
    url: str | None = None
    """Talk with a model behind this address instead, such as http://127.0.0.1:8000/v1; MODEL is its name there."""
    json: bool = False
    """Print the `--message` and its reply as JSON."""

    def __post_init__(self) -> None:
        """Check ranges and that there is one message to print; every problem is reported at once."""
        problems = out_of_range(self)
        if self.json and self.message is None:
            problems.append("--json: prints one message and its reply; give --message")
        raise_all(problems)


@dataclass(frozen=True)
class ClassifyConfig:
    """Put texts into the classes that a model has learned: label, probability, threshold and text, one text a line.

    The threshold is that of the positive class of two, chosen in training. A text that cannot be read is named on
    stderr, the others are answered, and the exit code is 1.
    """

    model: ModelFolder
    """Model folder or run folder of a classifier."""
    texts: Positional[tuple[str, ...]] = ()
    """Texts; without any, each line of the standard input that is not empty is one."""
    use: Use = "best"
    """Which classifier of the folder answers: the network, the linear model that learned from the same texts, or the
    one with the higher F1 on the held-out texts, which is said on stderr."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where to compute."""
    threads: Threads = None
    """CPU threads; all cores if not given."""
    json: bool = False
    """Print labels and probabilities as JSON, one text a line."""

    def __post_init__(self) -> None:
        """Check ranges; every problem is reported at once."""
        raise_all(out_of_range(self))
