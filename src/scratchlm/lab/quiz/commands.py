"""`scratchlm quiz`: practise due cards, take an exam, count cards, export to Anki."""

from __future__ import annotations

import contextlib
import random
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import zip_longest
from pathlib import Path
from typing import Any, TypeVar

from scratchlm.base.errors import UserError
from scratchlm.base.result import Result
from scratchlm.base.terminal import console
from scratchlm.lab.quiz.anki import write_deck
from scratchlm.lab.quiz.cards import KINDS, LEGEND, Card, built_in, chosen, in_order, read_cards
from scratchlm.lab.quiz.config import QuizConfig
from scratchlm.lab.quiz.numbers import is_close, parse_number
from scratchlm.lab.quiz.progress import GRADES, Progress, load_fsrs, usual_place

EXAMINED = ("🎯", "🔥")
"""Signs of the cards that an exam draws from."""
POINTS = {"y": 1.0, "h": 0.5, "n": 0.0}
"""Points for an answer: right, half right, wrong."""
RATINGS = {said: rating for rating, grade in enumerate(GRADES, 1) for said in (str(rating), grade)}
"""FSRS ratings by their number or name."""
PROMPTS = {"compute": "your number, or ", "choose": "your letter, or "}
"""Beginning of the prompt of a card whose answer is checked."""
T = TypeVar("T")


@dataclass(repr=False)
class QuizCounts(Result):
    """Counts of all cards and of due cards."""

    cards: int
    due: int
    new: int
    reviews: int
    by_chapter: dict[str, int]
    by_sign: dict[str, int]
    by_kind: dict[str, int]

    def __rich__(self) -> str:
        signs = ", ".join(f"{sign} {LEGEND[sign]} {count}" for sign, count in self.by_sign.items())
        chapters = ", ".join(f"{chapter}: {count}" for chapter, count in self.by_chapter.items())
        return (
            f"{self.cards} cards; {self.due} due, {self.new} new; {self.reviews} answers so far\n"
            f"by chapter: {chapters}\nby sign: {signs}\n"
            f"by kind: {', '.join(f'{kind} {count}' for kind, count in self.by_kind.items())}"
        )


@dataclass(repr=False)
class ExamResult(Result):
    """The result of an exam."""

    questions: int
    points: float
    seconds: float
    minutes: float
    left: int
    """Questions not reached before the time was over or the exam was handed in."""
    missed: list[dict[str, Any]] = field(default_factory=list)

    def __rich__(self) -> str:
        score = f"{self.points:g} of {self.questions} ({self.points / self.questions:.0%})"
        lines = [f"{score} in {self.seconds / 60:.1f} of {self.minutes:g} minutes"]
        lines += [f"{self.left} not reached"] if self.left else []
        lines += ["to review:"] if self.missed else []
        for each in self.missed:
            lines += [f"  {each['question']}  ({each['place']})", f"    {' '.join(each['answer'].split())}"]
        return "\n".join(lines)


def quiz(config: QuizConfig) -> QuizCounts | ExamResult | Path | None:
    """Ask cards on the terminal, or count or export them. Returns the object to print.

    Raises `UserError` for cards that cannot be read, filters that match no card, an exam with more questions than
    cards, and asking without a terminal.
    """
    cards = read_cards(config.notes) if config.notes else built_in()
    cards = chosen(cards, config.chapter, config.tag, config.sign, config.kind)
    if config.anki is not None:
        return write_deck(config.anki, cards)
    if config.exam is not None:
        with contextlib.redirect_stdout(sys.stderr) if config.json else contextlib.nullcontext():
            return _exam(config.exam, config.minutes, _drawn(cards, config))
    progress = Progress(config.progress or usual_place())
    if config.count:
        return _count(cards, progress)
    _require_terminal()
    load_fsrs()  # fail now if it is missing, not after the first answer
    _practise(cards, progress, config.new)
    return None


def _count(cards: Sequence[Card], progress: Progress) -> QuizCounts:
    chapters = Counter(card.chapter for card in cards)
    signs = Counter(sign for card in cards for sign in card.signs)
    by_chapter = {chapter: chapters[chapter] for chapter in sorted(filter(None, chapters), key=in_order)}
    by_chapter |= {"none": chapters[None]} if None in chapters else {}
    by_sign = {sign: signs[sign] for sign in LEGEND if signs[sign]}
    kinds = Counter(card.kind for card in cards)
    by_kind = {kind: kinds[kind] for kind in KINDS if kinds[kind]}
    due, new = progress.due(cards), progress.new(cards)
    return QuizCounts(len(cards), len(due), len(new), progress.reviews, by_chapter, by_sign, by_kind)


def _require_terminal() -> None:
    if not sys.stdin.isatty():
        raise UserError("quiz: needs a terminal; --count and --anki work without one")


def _practise(cards: Sequence[Card], progress: Progress, new: int) -> None:
    """Ask due cards, then new ones; a forgotten card is asked again before the end."""
    queue = [*progress.due(cards), *progress.new(cards)[:new]]
    if not queue:
        waiting = [progress.cards[card.id]["due"] for card in cards if card.id in progress.cards]
        soonest = f"; the next at {min(waiting)[:16].replace('T', ' ')} UTC" if waiting else ""
        _say(f"no card is due{soonest}")
        return
    _say(f"{len(queue)} cards. Think, press Enter for the answer, then say how well you knew it; q ends.")
    offered = "  ".join(f"{number} {name}" for number, name in enumerate(GRADES, 1))
    for number, card in enumerate(queue, 1):  # it grows by what was forgotten
        _show_question(card, f"{number}")
        answer = _answer_to(card, f"{PROMPTS.get(card.kind, '')}Enter shows the answer > ")
        if answer in ("q", None):
            break
        _show_verdict(card, answer or "")
        _show_answer(card)
        grade = _choose(f"{offered}  q end > ", {**RATINGS, "q": None}, "1, 2, 3, 4 or q")
        if grade is None:
            break
        due = progress.grade(card, grade)
        if grade == 1:
            queue.append(card)
        _say(f"again {_until(due)}")
    _say(f"{progress.reviews} answers so far; progress is kept in {progress.path}")


def _until(due: datetime) -> str:
    """Return the time until a moment as text."""
    minutes = max(1, round((due - datetime.now(UTC)).total_seconds() / 60))
    if minutes < 120:
        return f"in {minutes} minutes"
    return f"in {round(minutes / 60)} hours" if minutes < 48 * 60 else f"in {round(minutes / 1440)} days"


def _choose(prompt: str, choices: Mapping[str, T], offered: str) -> T | None:
    """Ask until one of the choices is given; return its value, or None at the end of the input."""
    while (answer := _read(prompt)) is not None:
        if answer in choices:
            return choices[answer]
        _say(f"{answer!r}: give {offered}")
    return None


def _drawn(cards: Sequence[Card], config: QuizConfig) -> list[Card]:
    """Draw the questions of an exam at random."""
    assert config.exam is not None
    fit = [card for card in cards if any(sign in card.signs for sign in EXAMINED)]
    if config.exam > len(fit):
        problem = f"only {len(fit)} of the {len(cards)} selected cards are marked {' or '.join(EXAMINED)}"
        raise UserError(f"--exam {config.exam}: {problem}; ask for fewer")
    return random.Random(config.seed).sample(fit, config.exam)


def _exam(count: int, minutes: float, cards: Sequence[Card]) -> ExamResult:
    """Ask all questions within the time limit, then show each answer next to the reader's, who grades it."""
    _require_terminal()
    _say(f"{count} questions, {minutes:g} minutes. Write a line for each, or press Enter to skip it; q hands in.")
    started = time.monotonic()
    written: list[str] = []
    for number, card in enumerate(cards, 1):
        left = 60 * minutes - (time.monotonic() - started)
        if left <= 0:
            break
        _show_question(card, f"{number} of {count}, {left / 60:.1f} minutes left")
        answer = _answer_to(card, "> ")
        if answer is None or answer == "q":
            break
        if time.monotonic() - started > 60 * minutes:
            _say("time is over: this answer was too late")
            break
        written.append(answer)
    seconds = time.monotonic() - started
    result = ExamResult(count, 0.0, seconds, minutes, count - len(written))
    for number, (card, answer) in enumerate(zip_longest(cards, written), 1):
        points = 0.0
        if answer:
            _show_question(card, f"{number} of {count}")
            _say(f"you wrote: {answer}\n")
            _show_verdict(card, answer)
            _show_answer(card)
            points = _choose("was it right? y yes, h half, n no > ", POINTS, "y, h or n") or 0.0
        result.points += points
        if points < 1:
            missed = {"question": card.question, "answer": card.answer, "chapter": card.chapter, "place": card.place}
            result.missed.append(missed)
    return result


def _say(text: str) -> None:
    """Print a text in lines that end between words."""
    console(highlight=False).print(text, markup=False, emoji=False)


def _read(prompt: str) -> str | None:
    """Read a line after a prompt whose lines end between words; return None at the end of input."""
    *lines, last = textwrap.wrap(prompt, max(20, console().width - 2))
    for line in lines:
        print(line)
    try:
        return input(f"{last} ").strip()
    except EOFError:
        print()
        return None


def _answer_to(card: Card, prompt: str) -> str | None:
    """Read until the answer is one that the card can check, Enter alone or q; return None at the end of input."""
    while answer := _read(prompt):
        if answer == "q" or (problem := _unfit(card, answer)) is None:
            break
        _say(problem)
    return answer


def _unfit(card: Card, answer: str) -> str | None:
    """Return why an answer cannot be checked, or None if it can."""
    if card.kind == "compute":
        try:
            parse_number(answer)
        except UserError as error:
            return str(error)
    if card.kind == "choose" and _letter(answer) not in card.options:
        return f"{answer!r}: give one of the letters {', '.join(card.options)}"
    return None


def _letter(answer: str) -> str:
    return answer.strip("() ").lower()


def _show_verdict(card: Card, answer: str) -> None:
    """Print whether a number or a letter is right; other kinds of cards are judged by the reader."""
    if not answer or card.value is None:
        return
    if card.kind == "compute":
        number, value = parse_number(answer), parse_number(card.value)
        if is_close(number, value, card.within):
            _say(f"right: {answer} is within {100 * card.within:g}% of {card.value}\n")
        else:
            off = f", off by {abs(number - value) / abs(value):.1%}" if value else ""
            _say(f"not right: {answer} is not within {100 * card.within:g}% of {card.value}{off}\n")
    elif card.kind == "choose":
        _say(f"{'right' if _letter(answer) == card.value else 'not right'}: the answer is ({card.value})\n")


def _show_question(card: Card, where: str) -> None:
    from rich.cells import cell_len
    from rich.markdown import Markdown
    from rich.rule import Rule
    from rich.text import Text

    drawn = console(highlight=False)
    chapter = "" if card.chapter is None else f"chapter {card.chapter}  "
    title = f"{where}  {chapter}{' '.join(card.signs)}"
    fits = cell_len(title) + 4 <= drawn.width
    drawn.print(Rule(title, align="left", style="dim") if fits else Text(title, style="dim"))
    if card.code:
        drawn.print(Markdown(card.code))
    drawn.print(Text(card.asked, style="bold"))


def _show_answer(card: Card) -> None:
    from rich.markdown import Markdown

    drawn = console(highlight=False)
    drawn.print(Markdown(card.answer))
    if card.shows:
        drawn.print(f"evidence: {card.shows}", style="dim", markup=False)
