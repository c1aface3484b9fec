"""`scratchlm quiz`: cards that are due, an exam, counts, a deck for Anki."""

from __future__ import annotations

import contextlib
import dataclasses
import random
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from scratchlm.base.errors import UserError
from scratchlm.base.result import Result
from scratchlm.base.terminal import console
from scratchlm.lab.quiz.anki import write_deck
from scratchlm.lab.quiz.cards import LEGEND, Card, built_in, chosen, read_cards
from scratchlm.lab.quiz.config import QuizConfig
from scratchlm.lab.quiz.progress import GRADES, Progress, load_fsrs, usual_place

EXAMINED = ("🎯", "🔥")
"""Signs of the cards that exams are made of."""
MARKS = {"y": 1.0, "h": 0.5, "n": 0.0}
"""What an answer is worth: right, half, not."""


@dataclass(repr=False)
class QuizCounts(Result):
    """How many cards there are, and how many are due."""

    cards: int
    due: int
    new: int
    reviews: int
    by_chapter: dict[str, int]
    by_sign: dict[str, int]

    def as_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return dataclasses.asdict(self)

    def __rich__(self) -> str:
        signs = ", ".join(f"{sign} {LEGEND[sign]} {count}" for sign, count in self.by_sign.items())
        chapters = ", ".join(f"{chapter}: {count}" for chapter, count in self.by_chapter.items())
        return (
            f"{self.cards} cards; {self.due} are due, {self.new} were never asked; {self.reviews} answers so far\n"
            f"by chapter: {chapters}\nby sign: {signs}"
        )


@dataclass(repr=False)
class ExamResult(Result):
    """What an exam gave."""

    questions: int
    points: float
    seconds: float
    minutes: float
    left: int
    """Questions that were not reached before the time was over, or the paper handed in."""
    missed: list[dict[str, Any]] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return dataclasses.asdict(self)

    def __rich__(self) -> str:
        score = f"{self.points:g} of {self.questions} ({self.points / self.questions:.0%})"
        lines = [f"{score} in {self.seconds / 60:.1f} of {self.minutes:g} minutes"]
        if self.left:
            lines.append(f"{self.left} not reached")
        if self.missed:
            lines.append("read again:")
            for each in self.missed:
                lines += [f"  {each['question']}  ({each['place']})", f"    {' '.join(each['answer'].split())}"]
        return "\n".join(lines)


def quiz(config: QuizConfig) -> QuizCounts | ExamResult | Path | None:
    """Ask cards on the terminal, or count or export them. Returns what is to be printed.

    Raises `UserError` for cards that cannot be read or chosen, an exam longer than its cards, and asking without a
    terminal.
    """
    cards = read_cards(config.notes) if config.notes else built_in()
    cards = chosen(cards, config.chapter, config.tag, config.sign)
    if config.anki is not None:
        return write_deck(config.anki, cards)
    if config.exam is not None:
        with contextlib.redirect_stdout(sys.stderr) if config.json else contextlib.nullcontext():
            return _exam(config.exam, config.minutes, _drawn(cards, config))
    progress = Progress(config.progress or usual_place())
    if config.count:
        return _count(cards, progress)
    _require_terminal()
    load_fsrs()  # not only when the first answer is to be kept
    _practise(cards, progress, config.new)
    return None


def _count(cards: Sequence[Card], progress: Progress) -> QuizCounts:
    chapters = Counter(card.chapter for card in cards)
    signs = Counter(sign for card in cards for sign in card.signs)
    return QuizCounts(
        cards=len(cards),
        due=len(progress.due(cards)),
        new=len(progress.new(cards)),
        reviews=progress.reviews,
        by_chapter={
            "none" if c is None else str(c): chapters[c] for c in sorted(chapters, key=lambda c: (c is None, c))
        },
        by_sign={sign: signs[sign] for sign in LEGEND if signs[sign]},
    )


def _require_terminal() -> None:
    if not sys.stdin.isatty():
        raise UserError("quiz: asks on a terminal, and this is none; --count and --anki need none")


def _practise(cards: Sequence[Card], progress: Progress, new: int) -> None:
    """Ask what is due, then new cards; what was not known comes again before the end."""
    queue = [*progress.due(cards), *progress.new(cards)[:new]]
    if not queue:
        waiting = [progress.cards[card.id]["due"] for card in cards if card.id in progress.cards]
        soonest = f"; the next at {min(waiting)[:16].replace('T', ' ')} UTC" if waiting else ""
        print(f"nothing is due{soonest}")
        return
    print(f"{len(queue)} cards. Think, press Enter for the answer, then say how well you knew it; q ends.")
    number = 0
    while queue:
        card, number = queue.pop(0), number + 1
        _show_question(card, f"{number}")
        if _read("Enter shows the answer > ") in ("q", None):
            break
        _show_answer(card)
        grade = _read_grade()
        if grade is None:
            break
        due = progress.grade(card, grade)
        if grade == 1:
            queue.append(card)
        print(f"again {_until(due)}")
    print(f"{progress.reviews} answers so far; progress is kept in {progress.path}")


def _until(due: datetime) -> str:
    """Tell how far away a moment is."""
    minutes = max(1, round((due - datetime.now(UTC)).total_seconds() / 60))
    if minutes < 120:
        return f"in {minutes} minutes"
    return f"in {round(minutes / 60)} hours" if minutes < 48 * 60 else f"in {round(minutes / 1440)} days"


def _read_grade() -> int | None:
    """Ask how well the answer was known; None ends."""
    offered = "  ".join(f"{number} {name}" for number, name in enumerate(GRADES, 1))
    while True:
        given = _read(f"{offered}  q end > ")
        if given is None or given == "q":
            return None
        if given in ("1", "2", "3", "4"):
            return int(given)
        if given in GRADES:
            return GRADES.index(given) + 1
        print(f"{given!r}: give 1, 2, 3, 4 or q")


def _drawn(cards: Sequence[Card], config: QuizConfig) -> list[Card]:
    """Draw the questions of an exam."""
    assert config.exam is not None
    fit = [card for card in cards if any(sign in card.signs for sign in EXAMINED)]
    if config.exam > len(fit):
        raise UserError(
            f"--exam {config.exam}: only {len(fit)} of the {len(cards)} chosen cards are marked "
            f"{' or '.join(EXAMINED)}; ask for fewer"
        )
    return random.Random(config.seed).sample(fit, config.exam)


def _exam(count: int, minutes: float, cards: Sequence[Card]) -> ExamResult:
    """Put all questions against the clock, then show the answers beside what was written, to be judged."""
    _require_terminal()
    print(f"{count} questions, {minutes:g} minutes. Write a line for each, or press Enter to leave it out; q hands in.")
    started = time.monotonic()
    written: list[str | None] = []
    for number, card in enumerate(cards, 1):
        left = 60 * minutes - (time.monotonic() - started)
        if left <= 0:
            break
        _show_question(card, f"{number} of {count}, {left / 60:.1f} minutes left")
        given = _read("> ")
        if given in ("q", None):
            break
        if time.monotonic() - started > 60 * minutes:
            print("time is over: this one came too late")
            break
        written.append(given)
    seconds = time.monotonic() - started
    result = ExamResult(count, 0.0, seconds, minutes, count - len(written))
    for number, (card, given) in enumerate(zip(cards, [*written, *[None] * (count - len(written))], strict=True), 1):
        worth = _judged(card, given, f"{number} of {count}") if given else 0.0
        result.points += worth
        if worth < 1:
            told = {"question": card.question, "answer": card.answer, "chapter": card.chapter, "place": card.place}
            result.missed.append(told)
    return result


def _judged(card: Card, given: str, where: str) -> float:
    """Show an answer beside what was written, and ask what it is worth."""
    _show_question(card, where)
    print(f"you wrote: {given}\n")
    _show_answer(card)
    while True:
        said = _read("was it right? y yes, h half, n no > ")
        if said is None:
            return 0.0
        if said in MARKS:
            return MARKS[said]
        print(f"{said!r}: give y, h or n")


def _read(prompt: str) -> str | None:
    """Read a line; None where the input ended."""
    try:
        return input(prompt).strip()
    except EOFError:
        print()
        return None


def _show_question(card: Card, where: str) -> None:
    from rich.rule import Rule
    from rich.text import Text

    drawn = console(highlight=False)
    signs = " ".join(card.signs)
    chapter = "" if card.chapter is None else f"chapter {card.chapter}  "
    drawn.print(Rule(f"{where}  {chapter}{signs}", align="left", style="dim"))
    drawn.print(Text(card.question, style="bold"))


def _show_answer(card: Card) -> None:
    from rich.markdown import Markdown

    drawn = console(highlight=False)
    drawn.print(Markdown(card.answer))
    if card.shows:
        drawn.print(f"shown by: {card.shows}", style="dim", markup=False)
