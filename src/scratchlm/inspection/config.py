"""Settings of inspection. Imports no torch, so commands answer `--help` without loading it."""

from __future__ import annotations

from dataclasses import dataclass

from scratchlm.config.settings import ModelFolder


@dataclass(frozen=True)
class InspectConfig:
    """Describe a model: parameters by part, memory, tokenizer, chat template, provenance."""

    model: ModelFolder
    """Model folder or run folder."""
    json: bool = False
    """Print the result as JSON."""
