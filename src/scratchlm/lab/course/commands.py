"""`scratchlm learn`: the course and what is next, the files of exercises, their checks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scratchlm.base.errors import UserError, nearest
from scratchlm.base.files import read_json, write_json, write_text
from scratchlm.base.limited import LimitedProcess, LimitExceededError
from scratchlm.base.reading import require_plain
from scratchlm.base.result import Result
from scratchlm.lab.course.config import CheckConfig, LearnConfig, StartConfig
from scratchlm.lab.course.exercise import Chapter, Exercise, chapters, find_exercise, without_bodies
from scratchlm.lab.quiz.cards import built_in
from scratchlm.lab.quiz.progress import usual_place

SECONDS, STARTING, MEMORY = 10.0, 120.0, 16 << 30
"""How long an exercise may run, how long its process may take to start, and the address space that it may use."""
FORMAT = 1


@dataclass(repr=False)
class Course(Result):
    """The course, and how far someone is."""

    chapters: list[dict[str, Any]]
    next: str | None
    """The first exercise that is not solved."""

    def __rich__(self) -> str:
        lines = []
        for each in self.chapters:
            parts = [f"{each['solved']} of {each['exercises']} exercises solved"] if each["exercises"] else []
            parts += [f"{each['cards']} cards"] if each["cards"] else []
            parts += [f"notebook {each['notebook']}.py"] if each["notebook"] else []
            lines += [f"{each['number']:>2}  {each['title']}", f"    {', '.join(parts)}"]
        lines += ["", f"next: scratchlm learn check {self.next}" if self.next else "all exercises are solved"]
        return "\n".join(lines)


@dataclass(repr=False)
class Instructions(Result):
    """What exercises ask for, or what helps with them, in lines."""

    lines: list[str]

    def __rich__(self) -> str:
        return "\n".join(self.lines)


@dataclass(repr=False)
class Checked(Result):
    """What the check of one exercise says."""

    exercise: str
    name: str
    solved: bool
    difference: str | None = None
    """The first difference from the solution, in words."""
    mistakes: list[str] = field(default_factory=list)
    """What was done, where it is a classic mistake."""
    printed: str = ""
    """The beginning of what the file printed."""

    def __rich__(self) -> str:
        lines = [f"{self.exercise} {self.name}: {'solved' if self.solved else 'not yet'}"]
        lines += [f"  {self.difference}"] if self.difference else []
        lines += [f"  {mistake}" for mistake in self.mistakes]
        lines += [f"  printed: {line}" for line in self.printed.splitlines()[:10]]
        return "\n".join(lines)


@dataclass(repr=False)
class CheckedChapter(Result):
    """What the checks of several exercises say."""

    exercises: list[Checked]

    def __rich__(self) -> str:
        solved = sum(each.solved for each in self.exercises)
        return "\n".join([*map(str, self.exercises), f"{solved} of {len(self.exercises)} solved"])


def learn(config: LearnConfig) -> Course:
    """Return the course with what is solved."""
    solved = _solved(_place(config.progress))
    cards = built_in()
    rows = [
        {
            "number": each.number,
            "title": each.title,
            "exercises": len(each.exercises),
            "solved": sum(exercise.number in solved for exercise in each.exercises),
            "notebook": each.notebook,
            "cards": sum(card.chapter == each.number for card in cards),
        }
        for each in chapters()
    ]
    waiting = [each.number for chapter in chapters() for each in chapter.exercises if each.number not in solved]
    return Course(rows, waiting[0] if waiting else None)


def start(config: StartConfig) -> Instructions:
    """Write the files of a chapter's exercises, and return what to do next."""
    chapter = find_chapter(config.chapter)
    if not chapter.exercises:
        raise UserError(f"chapter {chapter.number}: its exercises are in its notebook, {chapter.notebook}.py")
    every = [each for one in chapters() for each in one.exercises]
    lines = []
    for source in dict.fromkeys(each.source for each in chapter.exercises):
        exercises = [each for each in every if each.source == source]
        place = config.out / exercises[0].file
        if place.exists():
            lines.append(f"{place}: is there already, and stays as it is")
            continue
        config.out.mkdir(parents=True, exist_ok=True)
        write_text(place, without_bodies(source, exercises))
        lines.append(f"{place}: written")
    for each in chapter.exercises:
        lines += ["", f"{each.number}  {each.name}", " ".join(each.asks.split())]
    first = chapter.exercises[0].number
    return Instructions([*lines, "", f"then: scratchlm learn check {first}; --hint helps"])


def check(config: CheckConfig) -> Result | str:
    """Check an exercise, or all of a chapter; or return its hints or its solution.

    Raises `UserError` for an unknown exercise, and for a file that is missing or has no function of that name.
    """
    if "." in config.exercise:
        exercises: Sequence[Exercise] = [find_exercise(config.exercise)]
    else:
        exercises = find_chapter(config.exercise).exercises
    if config.hint:
        return Instructions([f"{each.number}  {hint}" for each in exercises for hint in each.hints])
    if config.solution:
        return "\n\n".join(each.solution().rstrip() for each in exercises)
    results = [checked(each, config.file or Path(each.file)) for each in exercises]
    place = _place(config.progress)
    solved = _solved(place) | {each.exercise for each in results if each.solved}
    place.parent.mkdir(parents=True, exist_ok=True)
    write_json(place, {"format": FORMAT, "solved": sorted(solved)})
    return results[0] if "." in config.exercise else CheckedChapter(results)


def checked(exercise: Exercise, file: Path) -> Checked:
    """Run a file's function in a process apart, and compare its results with those of the solution."""
    if not file.is_file():
        raise UserError(f"{file}: is not there; name your file, or run scratchlm learn start {exercise.chapter} first")
    require_plain(file)
    process = LimitedProcess("scratchlm.lab.course.answering", SECONDS, MEMORY)
    try:
        process.ask({}, STARTING)
        answer = process.ask({"file": str(file.resolve()), "exercise": exercise.number}, SECONDS)
    except LimitExceededError as error:
        difference = f"the file {error}; is there a loop that does not end?"
        return Checked(exercise.number, exercise.name, False, difference)
    finally:
        process.close()
    if "absent" in answer:
        raise UserError(
            f"{file}: has no {exercise.name}; scratchlm learn start {exercise.chapter} writes a file that has it"
        )
    return judged(exercise, answer["outputs"], answer["printed"])


def judged(exercise: Exercise, outputs: dict[str, Any], printed: str = "") -> Checked:
    """Return what a learner's outputs say."""
    from scratchlm.lab.course.answering import outputs_of  # here, since the list of the course needs no torch
    from scratchlm.lab.course.comparing import explained, first_difference, named

    right = outputs_of(exercise, exercise.module())
    label = first_difference(right, outputs)
    if label is None:
        return Checked(exercise.number, exercise.name, True, printed=printed)
    error = outputs.get("exception", {}).get("exception", {})
    if label == "exception" and error["kind"] == "NotImplementedError":
        return Checked(exercise.number, exercise.name, False, "its body is not written yet", printed=printed)
    mistakes = named(exercise, outputs, right)
    return Checked(exercise.number, exercise.name, False, explained(label, right, outputs), mistakes, printed)


def find_chapter(number: str) -> Chapter:
    """Return a chapter by its number or letter. Raises `UserError` for an unknown one."""
    every = {each.number: each for each in chapters()}
    if number not in every:
        raise UserError(f"chapter {number}: unknown; {nearest(number, every)}")
    return every[number]


def _place(given: Path | None) -> Path:
    return given or usual_place().with_name("learn.json")


def _solved(place: Path) -> set[str]:
    """Return the numbers of the exercises that are solved. Raises `UserError` for another kind of file."""
    if not place.exists():
        return set()
    stored = read_json(place)
    if not isinstance(stored, dict) or stored.get("format") != FORMAT or not isinstance(stored.get("solved"), list):
        raise UserError(f"--progress {place}: is no progress file of the course in format {FORMAT}; name another file")
    return set(map(str, stored["solved"]))
