"""Settings of `scratchlm quiz`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from scratchlm.base.errors import raise_all
from scratchlm.base.ranges import Amount, Minutes, Range, Seed, out_of_range
from scratchlm.config.settings import File


@dataclass(frozen=True)
class QuizConfig:
    """Ask the cards of the notes: due cards, then new ones; or an exam. Progress is saved after each answer."""

    chapter: str | None = None
    """Only cards of this chapter: a number, or the letter of an appendix."""
    tag: str | None = None
    """Only cards with this tag."""
    sign: str | None = None
    """Only cards with this sign or its name: important, hot, key, warning, target, advanced, not."""
    kind: str | None = None
    """Only cards of this kind: recall, compute (a number), predict (an output or a result), bug (in code), choose."""
    notes: tuple[File, ...] = ()
    """Your own notes instead: Markdown with folded questions (<details>, a summary that begins with a sign and Q.);
    repeat the flag for several files."""
    new: Amount = 10
    """New cards to ask, at most."""
    exam: Annotated[int | None, Range(1, 10**9)] = None
    """Exam with this number of questions, from the cards marked as target or hot."""
    minutes: Minutes = 10.0
    """Time limit of the exam."""
    count: bool = False
    """Only count the cards and the due ones."""
    anki: File | None = None
    """Only export the cards to Anki, as an .apkg file."""
    progress: File | None = None
    """Progress file; in the user's data folder if not given."""
    seed: Seed | None = None
    """Seed of the draw of an exam; random if not given."""
    json: bool = False
    """Print counts or an exam's result as JSON."""

    def __post_init__(self) -> None:
        """Check ranges; every problem is reported at once."""
        problems = out_of_range(self)
        chosen = [name for name in ("exam", "count", "anki") if getattr(self, name)]
        if len(chosen) > 1:
            problems.append(" and ".join(f"--{name}" for name in chosen) + ": give one of them")
        raise_all(problems)
