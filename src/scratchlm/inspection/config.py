"""Settings of inspection. Imports no torch, so commands answer `--help` without loading it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from scratchlm.base.errors import raise_all
from scratchlm.base.ranges import Range, Threads, out_of_range
from scratchlm.config.settings import File, ModelFolder, Positional

OF_PROMPT = (
    "attention", "lens", "tuned_lens", "attribution", "neurons", "ablation", "patch", "paths", "map", "losses", "page",
    "target", "against", "new", "chat",
)  # fmt: skip
"""Settings that ask something about a prompt."""
DEFAULT = ("losses", "lens", "attribution", "ablation")
"""Views of a prompt where none is named."""


@dataclass(frozen=True)
class InspectConfig:
    """Look inside a model.

    Of a model alone: parameters by part, memory, tokenizer, chat template, provenance. With a prompt: why it goes on as
    it does. Layers, heads and neurons count from 0.
    """

    model: ModelFolder
    """Model folder or run folder."""
    prompt: Positional[str | None] = None
    """Text whose next token is looked into."""
    page: File | None = None
    """Write all of it to this HTML file, which works offline; a small model runs in it."""
    target: str | None = None
    """The next token in question, with the space before a word; without, the likeliest."""
    against: str | None = None
    """Another token: attribution then says what speaks for the one rather than the other."""
    chat: bool = False
    """Take the prompt as a user's message, as `chat` does."""
    new: Annotated[int, Range(0, 10_000)] = 0
    """Tokens that the model writes first, the likeliest each time; they are looked into as the prompt is."""
    losses: bool = False
    """How much each token surprised the model, and how fast the answer would change with each."""
    attention: bool = False
    """Where each head looks."""
    lens: bool = False
    """What the model would say if it ended after each layer (logit lens)."""
    tuned_lens: bool = False
    """The same with a translation for each layer, trained on --texts."""
    attribution: bool = False
    """What each part adds by itself to the score of the token."""
    neurons: bool = False
    """Which neurons add most, and the tokens that they raise."""
    ablation: bool = False
    """The probability without each part."""
    patch: str | None = None
    """Another text of as many tokens: which of its values, put into this one, bring its answer back."""
    paths: bool = False
    """With --patch: what single earlier heads tell the head that matters most, on the direct path."""
    map: bool = False
    """Where the text's tokens lie by the two main directions of their vectors."""
    heads: bool = False
    """What each head does in general: previous token, same token, induction."""
    neighbours: str | None = None
    """A token: those whose vectors are nearest."""
    features: Annotated[int | None, Range(16, 1_000_000)] = None
    """Train a sparse autoencoder of this many features on --texts; show those that are active, with a causal check."""
    layer: Annotated[int | None, Range(0, 10_000)] = None
    """The layer of --features; without, the one in the middle."""
    texts: str | None = None
    """Text or named corpus to train --tuned-lens and --features on; without, the model writes its own."""
    weights: bool = False
    """Norms and singular values of all matrices; of a run at its first and last checkpoint."""
    threads: Threads = None
    """CPU threads; all cores if not given."""
    json: bool = False
    """Print the result as JSON."""

    def __post_init__(self) -> None:
        """Check ranges and that there is a prompt to ask about; every problem is reported at once."""
        problems = out_of_range(self)
        asked = [f"--{name.replace('_', '-')}" for name in OF_PROMPT if getattr(self, name) not in (None, False, 0)]
        asked += ["--features"] if self.features is not None else []
        if asked and self.prompt is None:
            problems.append(f"{', '.join(asked)}: asks about a text; give one after the model, in quotation marks")
        if self.against is not None and not (self.attribution or self.neurons or self.page):
            problems.append("--against: is for attribution; give --attribution, --neurons or --page too")
        if self.weights and (asked or self.prompt is not None or self.heads or self.neighbours is not None):
            problems.append("--weights: is about the model alone; leave the prompt and the other views out")
        if self.layer is not None and self.features is None:
            problems.append("--layer: is that of --features; give --features too")
        if self.texts is not None and self.features is None and not self.tuned_lens:
            problems.append("--texts: is what --tuned-lens and --features are trained on; give one of them too")
        problems += [
            f"--{name}: is empty; give the text of a token, with the space before a word"
            for name in ("target", "against", "neighbours") if getattr(self, name) == ""
        ]  # fmt: skip
        if self.paths and self.patch is None:
            problems.append("--paths: needs another text; give --patch too")
        raise_all(problems)

    @property
    def views(self) -> list[str]:
        """The views that are wanted of a prompt."""
        named = [
            each
            for each in (*DEFAULT, "attention", "tuned_lens", "neurons", "paths", "map", "heads")
            if getattr(self, each)
        ]
        named += [each for each in ("patch", "neighbours", "features") if getattr(self, each) is not None]
        return named or list(DEFAULT)


@dataclass(frozen=True)
class DoctorConfig:
    """Report what this machine can do, and compare every fast path with the plain one."""

    threads: Threads = None
    """CPU threads; all cores if not given."""
    distributed: bool = False
    """With torchrun: report who the ranks are, how fast they sum, and whether they round alike."""
    json: bool = False
    """Print the findings as JSON."""

    def __post_init__(self) -> None:
        """Check ranges."""
        raise_all(out_of_range(self))
