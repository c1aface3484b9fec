"""The settings of `timelapse`. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from scratchlm.base.errors import raise_all
from scratchlm.base.ranges import Count, Range, Seed, Threads, out_of_range
from scratchlm.config.settings import Folder, Positional


@dataclass(frozen=True)
class TimelapseConfig:
    """Train a small model on the bytes of a text, and write a page that replays its training."""

    source: Positional[str] = "storyworld:8MB"
    """Text to learn from: the embedded corpus, a named source, or a file or folder of your own."""
    out: Folder = Path("timelapse")
    """Folder to write the page, its picture and their data to."""
    text_column: str | None = None
    """Column or field of a structured file that holds the text."""
    prompt: str = "Once upon a time"
    """Text that the model continues at each moment."""
    steps: Count = 500
    """Optimizer steps; 500 at depth 3 took 98 seconds of one core of an AMD EPYC, in bf16."""
    depth: Annotated[int, Range(1, 48)] = 3
    """Layers, from which width, heads and learning rate follow."""
    frames: Annotated[int, Range(2, 200)] = 60
    """Moments to show, spaced evenly in the logarithm of the step."""
    passage: Annotated[int, Range(16, 256)] = 200
    """Bytes of the held-out passage whose predictions are shown."""
    seed: Seed = 0
    """Seed of the weights, the order of training and the written texts."""
    threads: Threads = None
    """CPU threads; all cores if not given."""
    dtype: Literal["auto", "fp32", "bf16"] = "auto"
    """Number format of matrix products; auto takes what is faster by the processor's features, as `doctor` says."""
    force: bool = False
    """Replace an earlier time-lapse in the folder."""
    json: bool = False
    """Print the result as JSON."""

    def __post_init__(self) -> None:
        """Check ranges; every problem is reported at once."""
        problems = [] if self.prompt else ["--prompt: is empty; give at least one character"]
        raise_all(problems + out_of_range(self))
