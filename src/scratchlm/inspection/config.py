"""Settings of inspection. Imports no torch, so commands answer `--help` without loading it."""

from __future__ import annotations

from dataclasses import dataclass

from scratchlm.base.flags import ModelFolder


@dataclass(frozen=True)
class InspectConfig:
    """Tell what a model is made of: parameters by part, memory, tokenizer, template, where it comes from."""

    model: ModelFolder
    """Model folder or run folder."""
    json: bool = False
    """Print the result as JSON."""
