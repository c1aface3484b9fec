"""One kill: a command is started, dies at a moment that a seed chooses, is started again, and is compared."""

from __future__ import annotations

import json
import random
import shutil
import signal
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.kills.cases import CARDS, Case, leftovers, written
from tests.kills.moments import Operation
from tests.kills.process import Ended, call

RANDOM = "random time"
ENDED = "ended first"
TWICE = 0.2
"""Chance that the second start is killed too."""
LATEST = 0.9
"""Latest random time, as a share of what the command takes."""


@dataclass(frozen=True)
class Undisturbed:
    """A command that was left alone: what it wrote, the operations it made, and how long it took."""

    contents: dict[str, Any]
    older: dict[str, Any]
    operations: dict[str, list[int]]
    """Numbers of its operations by the sort of moment."""
    seconds: float


@dataclass
class Killed:
    """What became of a command that was killed."""

    case: str
    moments: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    forced: bool = False
    """Whether it had to be repeated with --force, as its message said."""

    @property
    def wrong(self) -> bool:
        """Return whether something was lost, changed or left."""
        return bool(self.problems or self.left)


def leave_alone(case: Case, place: Path, shop: Path) -> Undisturbed:
    """Run a command without a kill. Raises `RuntimeError` where it fails."""
    folder, record = place / "alone", place / "operations.json"
    older = _older(case, folder, place, shop)
    ended = call(folder, case.arguments(shop, case.command), case.renames, typed=case.typed, record=record)
    found = written(case, folder)
    if ended.status or not found or leftovers(folder):
        raise RuntimeError(f"{case.name}: {ended.said} {sorted(found)} {leftovers(folder)}")
    moments: dict[str, list[int]] = defaultdict(list)
    for number, operation in enumerate(json.loads(record.read_text(encoding="utf-8"))):
        moments[Operation(*operation).moment].append(number)
    return Undisturbed(found, older, dict(moments), ended.seconds)


def kill(case: Case, alone: Undisturbed, folder: Path, shop: Path, draw: random.Random) -> Killed:
    """Kill a command once or twice, start it again, and tell what is not as it should be."""
    killed = Killed(case.name)
    _older(case, folder, folder.parent, shop)
    moment = draw.choice([*sorted(alone.operations), RANDOM])
    late = alone.seconds * draw.uniform(0, LATEST)
    when = {"after": late} if moment == RANDOM else {"at": draw.choice(alone.operations[moment])}
    ended = call(folder, case.arguments(shop, case.command), case.renames, typed=case.typed, **when)
    killed.moments.append(moment if ended.status else ENDED)
    if ended.status not in (0, -signal.SIGKILL):
        killed.problems.append(f"failed before it was killed: {ended.said}")
    if case.atomic:
        whole = [alone.older, alone.contents, *([{}] if case.renames else [])]
        if written(case, folder) not in whole:
            killed.problems.append(f"{case.out} is neither whole nor as it was")
    if draw.random() < TWICE:
        again = _again(case, folder, shop, killed, after=alone.seconds * draw.uniform(0, LATEST))
        killed.moments.append(RANDOM if again.status else ENDED)
    ended = _again(case, folder, shop, killed)
    found = written(case, folder)
    if ended.status and not (case.atomic and "exists already" in ended.said and found == alone.contents):
        killed.problems.append(f"does not go on: {ended.said}")
    names = found.keys() | alone.contents.keys()
    killed.problems += [f"{name} differs" for name in sorted(names) if found.get(name) != alone.contents.get(name)]
    killed.left = leftovers(folder)
    return killed


def _older(case: Case, folder: Path, place: Path, shop: Path) -> dict[str, Any]:
    """Make the folder of a run, with an older version in it where the case has one; return that version."""
    folder.mkdir(parents=True)
    if case.older is None:
        return {}
    kept = place / f"{case.name} older"
    if not kept.exists():
        kept.mkdir()
        ended = call(kept, case.arguments(shop, case.older), case.renames)
        if ended.status:
            raise RuntimeError(f"{case.name}: {ended.said}")
    shutil.copytree(kept, folder, dirs_exist_ok=True)
    return written(case, folder)


def _again(case: Case, folder: Path, shop: Path, killed: Killed, after: float | None = None) -> Ended:
    """Start a command again as a user would: go on with a run that began, repeat all else, by --force where told."""
    out, line = folder / case.out, case.command
    if case.name == "quiz":  # what was answered is kept, so fewer cards are new
        asked = json.loads(out.read_text(encoding="utf-8"))["reviews"] if out.exists() else 0
        line = line.replace(f"--new {CARDS}", f"--new {CARDS - asked}")
    if case.resumes is not None and (out / "recipe.toml").exists():
        line = case.resumes
    ended = call(folder, case.arguments(shop, line), case.renames, typed=case.typed, after=after)
    if ended.status == 1 and "--force" in ended.said and not case.atomic:
        killed.forced = True
        ended = call(folder, case.arguments(shop, f"{case.command} --force"), case.renames, after=after)
    return ended
