"""What `scratchlm evaluate` can be told. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from scratchlm.base.errors import UserError


@dataclass(frozen=True)
class EvaluateConfig:
    """Measure loss and bits per byte of a model on held-out text."""

    model: Positional[Path]
    """Model folder or run folder."""
    data: Path | None = None
    """Folder that prepare wrote; its held-out side is measured."""
    text: Path | None = None
    """Or a text of your own: a file or folder, every document of it."""
    text_field: str | None = None
    """Field or column of a structured file that holds the text."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where to compute."""
    threads: int | None = None
    """CPU threads; all cores if not given."""
    json: bool = False
    """Print the result as JSON."""

    def __post_init__(self) -> None:
        """Check that there is one text to measure on."""
        if (self.data is None) == (self.text is None):
            raise UserError("evaluate: give the text to measure on, either --data DIR or --text PATH")
        if self.threads is not None and self.threads < 1:
            raise UserError(f"--threads {self.threads}: must be at least 1")
