"""Parameters, tokens and compute that training published models took, and where a run of ours lies beside them.

The numbers and their sources are in `published_training.toml`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from scratchlm.base.config import from_dict, read_toml

FILE = "published_training.toml"
REFERENCE = "GPT-3 175B"
"""The model that plans are compared with: parameters, tokens and FLOPs of its training are all published."""


@dataclass(frozen=True)
class PublishedTraining:
    """What was published of a model's training; None where nothing was."""

    name: str
    year: int
    parameters: int
    source: str
    """Where the numbers were published."""
    active: int | None = None
    """Parameters that a token passes through, where not all."""
    tokens: float | None = None
    """Tokens of pretraining."""
    at_least: bool = False
    """Whether the tokens are a lower bound."""
    flops: float | None = None
    """FLOPs of training as its authors give them."""
    gpu_hours: float | None = None
    gpu: str = ""
    dollars: float | None = None
    """Cost as its authors calculate it."""

    @property
    def estimated_flops(self) -> float | None:
        """Six FLOPs for each parameter that a token passes and each token (Kaplan et al. 2020, arXiv 2001.08361)."""
        return None if self.tokens is None else 6.0 * (self.active or self.parameters) * self.tokens

    @property
    def weight_bytes(self) -> int:
        """Bytes of all weights in bf16."""
        return 2 * self.parameters


def published_training() -> tuple[PublishedTraining, ...]:
    """Return the models, oldest first."""
    rows = read_toml(Path(__file__).parent / FILE)["model"]
    return tuple(from_dict(PublishedTraining, row, FILE, None) for row in rows)


def reference_training() -> PublishedTraining:
    """Return the model that plans are compared with."""
    return next(model for model in published_training() if model.name == REFERENCE)


def beside_reference(parameters: int, tokens: float, flops: float) -> str:
    """Return a run's parameters, tokens and training FLOPs as fractions or multiples of those of GPT-3."""
    other = reference_training()
    assert other.tokens is not None
    assert other.flops is not None
    ratios = {
        "parameters": parameters / other.parameters,
        "tokens": tokens / other.tokens,
        "training FLOPs": flops / other.flops,
    }
    ratios_of = [f"{ratio(of)}{' of' * (of < 1)} the {name}" for name, of in ratios.items()]
    return f"{', '.join(ratios_of)} of {other.name}"


def ratio(of: float) -> str:
    """Return a ratio to three digits: 1/1,230 below one, and 12.3 times above."""
    if of >= 1:
        return f"{of:,.3g} times"
    return f"1/{float(f'{1 / of:.3g}'):,.0f}" if of > 0 else "none"
