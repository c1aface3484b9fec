"""Give every command damaged files and impossible numbers: python tests/fuzz [--minutes 10]."""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import multiprocessing
import os
import random
import sys
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parent.parent)

from fuzz import numeric, running, seeds, targets  # noqa: E402


def chosen(every: list[targets.Case], count: int | None, only: str | None, seed: int) -> list[targets.Case]:
    """Return the undamaged commands, then the others in random order, each command's files and flags in turn."""
    if only is not None:
        return [case for case in every if only in case.name]
    groups: dict[tuple[str, ...], list[targets.Case]] = defaultdict(list)
    for case in random.Random(seed).sample(every, len(every)):
        groups[(case.command, case.name.split(": ")[1].split("=")[0])].append(case)
    turns = itertools.zip_longest(*groups.values())
    plain = [case for case in every if case.must_succeed]
    rest = [case for turn in turns for case in turn if case is not None and not case.must_succeed]
    return [*plain, *rest][:count]


def report(outcomes: list[running.Outcome]) -> None:
    """Print how many cases of each command ended in which way, then each fault."""
    by_command: dict[str, Counter[str]] = defaultdict(Counter)
    for outcome in outcomes:
        ended = {0: "accepted", 1: "refused", 2: "usage"}.get(outcome.code, "broken")
        by_command[outcome.case.command].update(["cases", ended, *(["faults"] if outcome.faults else [])])
    columns = ("cases", "accepted", "refused", "usage", "broken", "faults")
    print(f"{'command':<28}" + "".join(f"{column:>10}" for column in columns))
    for command, counts in [*sorted(by_command.items()), ("all", sum(by_command.values(), Counter()))]:
        print(f"{command:<28}" + "".join(f"{counts[column]:>10}" for column in columns))
    for outcome in outcomes:
        if outcome.faults:
            print(f"FAULT {outcome.case.name[:120]!r}: {'; '.join(outcome.faults)[:400]}")
    slowest, largest = max(outcomes, key=lambda each: each.seconds), max(outcomes, key=lambda each: each.peak)
    print(f"slowest: {slowest.seconds:.1f} s, {slowest.case.name!r}")
    print(f"largest: {largest.peak / 1e9:.2f} GB, {largest.case.name!r}")


held: list[tuple[int, targets.Case, Path, Path, float | None, float]] = []
"""What the forked workers find to do: cases hold functions, which no pipe carries."""


def run_one(index: int) -> tuple[int, running.Outcome | None]:
    """Run one case in a worker, unless the time is over; its outcome comes back without the case."""
    number, case, folder, place, until, patience = held[index]
    if until is not None and time.monotonic() > until:
        return number, None
    outcome = running.run_case(case, folder, place / f"case{number}", patience)
    return number, dataclasses.replace(outcome, case=None)


def main() -> int:
    """Run the cases and return 1 if one of them shows a fault."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, help="stop after so long; all cases if not given")
    parser.add_argument("--count", type=int, help="run this many cases, drawn from all")
    parser.add_argument("--seed", type=int, default=0, help="another seed draws other cases first")
    parser.add_argument("--only", help="run the cases whose name holds this text")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="cases at a time")
    parser.add_argument("--seeds", type=Path, help="keep the undamaged files in this folder, and take them from there")
    parser.add_argument("--patience", type=float, default=running.PATIENCE, help="processor seconds of a case")
    given = parser.parse_args()
    started = time.monotonic()
    running.prepare_process()
    with tempfile.TemporaryDirectory(prefix="fuzz") as place:
        folder = (given.seeds or Path(place) / "seeds").absolute()
        if not folder.exists():
            folder.mkdir()
            seeds.build(folder, lambda *arguments: seed_command(arguments, folder))
        every = [*targets.cases(folder), *numeric.cases()]
        cases = chosen(every, given.count, given.only, given.seed)
        print(f"{len(cases)} of {len(every)} cases; seeds made in {time.monotonic() - started:.0f} s", flush=True)
        until = None if given.minutes is None else started + 60 * given.minutes
        held.extend((number, case, folder, Path(place), until, given.patience) for number, case in enumerate(cases))
        with multiprocessing.get_context("fork").Pool(given.workers) as pool:
            ended = pool.imap_unordered(run_one, range(len(held)))
            outcomes = [dataclasses.replace(each, case=cases[at]) for at, each in ended if each is not None]
    if len(outcomes) < len(cases):
        print(f"time is over: {len(cases) - len(outcomes)} cases are left out")
    report(outcomes)
    print(f"{time.monotonic() - started:.0f} s")
    return int(any(outcome.faults for outcome in outcomes))


def seed_command(arguments: tuple[str, ...], folder: Path) -> None:
    """Run a command that makes a seed."""
    code, _, _ = running.run_in_fork(arguments, folder, None, 120)
    if code != 0:
        sys.exit(f"{' '.join(arguments)}: {(folder / 'stderr').read_text()[-2000:]}")
    for name in ("stdout", "stderr"):
        (folder / name).unlink()


if __name__ == "__main__":
    sys.exit(main())
