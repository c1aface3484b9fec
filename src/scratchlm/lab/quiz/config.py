"""What `scratchlm quiz` can be told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from scratchlm.base.errors import raise_all
from scratchlm.base.ranges import Amount, Minutes, Range, Seed, out_of_range


@dataclass(frozen=True)
class QuizConfig:
    """Ask the cards of the notes: those that are due, then new ones; or an exam. Progress is kept after each answer."""

    chapter: int | None = None
    """Only cards of this chapter."""
    tag: str | None = None
    """Only cards with this tag."""
    sign: str | None = None
    """Only cards with this sign, by itself or by its name: important, hot, key, warning, target, advanced, not."""
    notes: tuple[Path, ...] = ()
    """Notes of your own instead: Markdown with folded questions (<details>, a summary that begins with a sign and Q.);
    give the flag again for another file."""
    new: Amount = 10
    """Most cards that are asked for the first time."""
    exam: Annotated[int | None, Range(1, 10**9)] = None
    """Instead, an exam of so many questions, from the cards marked as targets or hot."""
    minutes: Minutes = 10.0
    """Time for the exam."""
    count: bool = False
    """Only tell how many cards there are, and how many are due."""
    anki: Path | None = None
    """Only write the cards as a deck for Anki, a .apkg file."""
    progress: Path | None = None
    """File that remembers what was asked when; in the user's data folder if not given."""
    seed: Seed | None = None
    """Seed of an exam's draw; another one each time if not given."""
    json: bool = False
    """Print counts or an exam's result as JSON."""

    def __post_init__(self) -> None:
        """Check ranges; every problem is reported at once."""
        problems = out_of_range(self)
        chosen = [name for name in ("exam", "count", "anki") if getattr(self, name)]
        if len(chosen) > 1:
            problems.append(" and ".join(f"--{name}" for name in chosen) + ": give one of them")
        raise_all(problems)
