"""Cases run one after the other, each in a fork of this process, and judged by what they leave behind."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from fuzz.targets import Case

PATIENCE = 20.0
"""Seconds of processor time after which a command is taken to never end."""
CLOCK = 6
"""Times as many seconds on the clock, after which it is taken to wait: other tests may have the processor meanwhile."""
MEMORY = 2 << 30
"""Bytes that no command on files of some kilobytes may need."""
STOPPED, HELD = -1, -2
OTHERS = ("pyarrow.parquet", "rich.console", "rich.table", "sklearn.metrics", "jinja2.sandbox", "gguf",
          "torch._dynamo", "tomllib")  # fmt: skip
OURS = ("cli", "pretraining.pretrain", "finetuning.classify", "finetuning.instruct", "finetuning.prefer",
        "finetuning.reinforce", "finetuning.synthesize", "pretraining.plan", "tours.quickstart.run",
        "tours.timelapse.run", "evaluation.run", "weights.commands", "data.prepare", "lab.quiz.commands",
        "generation.commands", "generation.classifier", "inspection.parameters", "lab.run",
        "lab.experiments.ladder_lm.measure")  # fmt: skip
RAW = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a case ended."""

    case: Case
    code: int
    seconds: float
    peak: int
    out: str
    err: str
    faults: tuple[str, ...] = ()


def prepare_process() -> None:
    """Import what commands need, so that each fork begins with it, and leave them no network and no second thread."""
    import socket

    os.environ |= {"HF_HUB_OFFLINE": "1", "SCRATCHLM_CACHE": "/nonexistent", "COLUMNS": "180"}
    os.environ.pop("SCRATCHLM_DATA", None)

    def refuse(*_: object, **__: object) -> None:
        raise OSError("network is unreachable")

    socket.getaddrinfo = refuse  # type: ignore[assignment]
    import torch

    torch.set_num_threads(1)
    for module in (*OTHERS, *(f"scratchlm.{name}" for name in OURS)):
        import_module(module)


def run_in_fork(arguments: Sequence[str], folder: Path, stdin: Path | None, patience: float) -> tuple[int, float, int]:
    """Run a command in a fork; its output is in `folder/stdout` and `folder/stderr`. Returns code, seconds, peak."""
    started = time.monotonic()
    child = os.fork()
    if child == 0:
        _be_command(arguments, folder, stdin)
    while True:
        found, status, usage = os.wait4(child, os.WNOHANG)
        waited = time.monotonic() - started
        if found:
            code = os.waitstatus_to_exitcode(status)
            return code, waited, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        late = waited > CLOCK * patience or (waited > patience and _worked(child) > patience)
        if late or _resident(child) > 2 * MEMORY:
            why = STOPPED if late else HELD
            os.kill(child, signal.SIGKILL)
            _, _, usage = os.wait4(child, 0)
            return why, waited, usage.ru_maxrss * 1024
        time.sleep(0.002 if waited < 0.2 else 0.02)


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0


def _worked(pid: int) -> float:
    """Return the seconds of processor time of a process, its threads included; 0 where /proc does not say."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, IndexError):
        return 0.0


def _be_command(arguments: Sequence[str], folder: Path, stdin: Path | None) -> None:
    """Be the command line, in a folder, until its end."""
    code = 99
    try:
        os.setsid()
        os.chdir(folder)
        for number, path, flags in (
            (0, stdin or os.devnull, os.O_RDONLY),
            (1, "stdout", os.O_WRONLY | os.O_CREAT),
            (2, "stderr", os.O_WRONLY | os.O_CREAT),
        ):
            os.dup2(os.open(path, flags, 0o600), number)
        sys.stdin, sys.stdout, sys.stderr = (os.fdopen(number, mode) for number, mode in enumerate(("r", "w", "w")))
        from scratchlm.cli import main

        try:
            main(list(arguments))
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
        sys.stdout.flush()
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def run_case(case: Case, seeds: Path, folder: Path, patience: float = PATIENCE) -> Outcome:
    """Copy the seeds that a case needs, damage them, run the command, and judge how it ended."""
    folder.mkdir()
    try:
        for name in case.seeds:
            source = seeds / name
            copy = shutil.copytree if source.is_dir() else shutil.copyfile
            copy(source, folder / name)
        if case.damage is not None:
            case.damage(folder)
        before = {path.relative_to(folder) for path in folder.rglob("*")}
        stdin = None if case.stdin is None else folder / case.stdin
        if stdin is not None and not stdin.is_file():
            stdin = None
        code, seconds, peak = run_in_fork(case.arguments, folder, stdin, patience)
        out, err = ((folder / name).read_bytes().decode("utf-8", "replace") if (folder / name).exists() else ""
                    for name in ("stdout", "stderr"))  # fmt: skip
        outcome = Outcome(case, code, seconds, peak, out, err)
        return dataclasses.replace(outcome, faults=tuple(_faults(outcome, folder, before)))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _faults(outcome: Outcome, folder: Path, before: set[Path]) -> list[str]:
    """Name what is wrong with the way in which a command ended."""
    case, code, err = outcome.case, outcome.code, outcome.err
    found = []
    if code == STOPPED:
        found.append("waits")
    if "Traceback" in err or code == 99:
        last = [line for line in err.splitlines() if line and not line.startswith(" ")]
        found.append(f"traceback {last[-1][:100] if last else ''}")
    elif code not in (0, 1, 2, STOPPED, HELD):
        found.append(f"code {code}")
    if outcome.peak > MEMORY or code == HELD:
        found.append(f"{outcome.peak / 1e9:.1f} GB")
    if case.must_succeed and code != 0:
        found.append(f"fails undamaged: {err[-300:]}")
    if case.must_fail and code == 0:
        found.append("is accepted")
    if code in (1, 2):
        lines = err.splitlines()
        ours = [number for number, line in enumerate(lines) if line.startswith("scratchlm")]
        if ours != [len(lines) - 1]:
            found.append("more than one line")
        if outcome.out and not case.partial:
            found.append("stdout")
        if RAW.search(err):
            found.append("raw control characters")
        if case.out is not None and (folder / case.out).exists():
            found.append("output left")
    left = [path for path in folder.rglob("*") if path.name.endswith((".tmp", ".old")) or ".tmp" in path.name]
    if left:
        found.append(f"half-written {left[0].name}")
    return found
