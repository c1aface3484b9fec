"""Settings of inspection. Imports no torch, so commands answer `--help` without loading it."""

from __future__ import annotations

from dataclasses import dataclass

from scratchlm.base.errors import raise_all
from scratchlm.base.ranges import Threads, out_of_range
from scratchlm.config.settings import ModelFolder


@dataclass(frozen=True)
class InspectConfig:
    """Describe a model: parameters by part, memory, tokenizer, chat template, provenance."""

    model: ModelFolder
    """Model folder or run folder."""
    json: bool = False
    """Print the result as JSON."""


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
