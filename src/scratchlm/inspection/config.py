"""Settings of inspection. Imports no torch, so commands answer `--help` without loading it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional


@dataclass(frozen=True)
class InspectConfig:
    """Tell what a model is made of: parameters by part, memory, tokenizer, template, where it comes from."""

    model: Positional[Path]
    """Model folder or run folder."""
    json: bool = False
    """Print the result as JSON."""
