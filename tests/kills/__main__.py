"""Kill commands for good (SIGKILL) at seeded moments, start them again, and print a table of what became of them.

    python -m tests.kills --kills 100

A training goes on with --resume and must end with the weights and the log of one that was left alone, bit for bit; any
other command is repeated and must end with the same bytes. Nothing temporary may be left after the next start.
"""

from __future__ import annotations

import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"):
    os.environ[name] = "1"  # before torch is imported: a process with threads is not to be forked

import argparse  # noqa: E402
import random  # noqa: E402
import shutil  # noqa: E402
import sys  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402
from collections import Counter  # noqa: E402
from importlib import import_module  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

from bench.store import write  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402
from tests.kills.cases import CASES, Case, build_shop  # noqa: E402
from tests.kills.kill import ENDED, Killed, Undisturbed, kill, leave_alone  # noqa: E402

IMPORTED = (
    *(
        "pretraining.pretrain",
        "finetuning.classify",
        "finetuning.instruct",
        "finetuning.prefer",
        "finetuning.reinforce",
    ),
    *(
        "tours.quickstart.run",
        "tours.quickstart.result",
        "tours.timelapse.run",
        "finetuning.synthesize",
        "lab.experiments.limits.measure",
        "lab.run",
    ),
    *("tokens.commands", "data.prepare", "weights.commands", "evaluation.run", "lab.quiz.commands"),
)
"""Modules that every command of the table finds imported."""


def main() -> int:
    """Kill as often as is asked for; return 1 where something was lost, left or changed."""
    parser = argparse.ArgumentParser(prog="python -m tests.kills", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=100, help="how many kills, spread over the commands")
    parser.add_argument("--each", type=int, help="kill each command until so many kills came before it had ended")
    parser.add_argument("--seed", type=int, default=0, help="seed of commands and moments")
    parser.add_argument("--only", default="", help="only commands whose name holds this")
    parser.add_argument("--record", help="name of a file in bench/results/kills for what was found")
    parser.add_argument("--keep", type=Path, help="folder to keep what went wrong in")
    given = parser.parse_args()
    for module in IMPORTED:
        import_module(f"scratchlm.{module}")
    cases = [case for case in CASES if given.only in case.name]
    random.Random(given.seed).shuffle(cases)
    started, alone, killed = time.monotonic(), dict[str, Undisturbed](), list[Killed]()
    with tempfile.TemporaryDirectory(prefix="scratchlm-kills.") as name:
        place = Path(name)
        build_shop(place / "shop")
        most = given.kills if given.each is None else 3 * given.each * len(cases)  # some come too late
        for number in range(most):
            left = cases if given.each is None else [each for each in cases if _early(killed, each) < given.each]
            if not left:
                break
            killed.append(_one(left[number % len(left)], number, given.seed, place, alone))
            if killed[-1].wrong:
                print(f"kill {number}: {killed[-1]}", file=sys.stderr, flush=True)
                if given.keep is not None:
                    shutil.copytree(place / f"{number}", given.keep / f"{number}", symlinks=True)
            shutil.rmtree(place / f"{number}")
    Console(width=140).print(_table(killed))
    wrong = sum(each.wrong for each in killed)
    seconds = time.monotonic() - started
    print(f"{len(killed)} kills, {wrong} went wrong, {seconds:.0f} s, seed {given.seed}")
    if given.record:
        title = "commands killed for good at seeded moments, started again, and compared with one that was left alone"
        told = {"task": title, "seed": given.seed, "seconds": seconds, "kills": len(killed), "wrong": wrong}
        write(f"kills/{given.record}", {**told, "commands": _counted(killed)})
    return min(wrong, 1)


def _early(killed: list[Killed], case: Case) -> int:
    """Return how many kills came before the command had ended."""
    return sum(each.case == case.name and each.moments[0] != ENDED for each in killed)


def _counted(killed: list[Killed]) -> dict[str, dict[str, Any]]:
    """Return for each command how often it was killed, at which moments, and how often it went wrong."""
    found = {}
    for name in sorted({each.case for each in killed}):
        own = [each for each in killed if each.case == name]
        moments = Counter(moment for each in own for moment in each.moments)
        found[name] = {
            "kills": len(own),
            "wrong": sum(each.wrong for each in own),
            "moments": dict(sorted(moments.items())),
        }
    return found


def _one(case: Case, number: int, seed: int, place: Path, alone: dict[str, Undisturbed]) -> Killed:
    if case.name not in alone:
        alone[case.name] = leave_alone(case, place / f"{case.name} alone", place / "shop")
    folder = place / f"{number}" / "run"
    folder.parent.mkdir()
    return kill(case, alone[case.name], folder, place / "shop", random.Random(f"{seed} {number}"))


def _table(killed: list[Killed]) -> Table:
    table = Table(
        "command", "kills", "where", "recovered", "by --force", "left over", title="Commands that were killed"
    )
    for name in sorted({each.case for each in killed}):
        own = [each for each in killed if each.case == name]
        where = Counter(moment for each in own for moment in each.moments)
        told = ", ".join(f"{moment} {count}" for moment, count in sorted(where.items()))
        well = sum(not each.problems for each in own)
        forced, left = sum(each.forced for each in own), sum(len(each.left) for each in own)
        table.add_row(name, f"{len(own)}", told, f"{well}", f"{forced}", f"{left}")
    return table


if __name__ == "__main__":
    sys.exit(main())
