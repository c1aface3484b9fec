"""Kill one of four ranks for good (SIGKILL) at seeded moments; all must start again, and the losses be the same.

    python -m tests.kills.ranks --kills 20

Told are the seconds until all other ranks have ended, those until the run has ended, and whether its losses and
weights are, bit for bit, those of a run that was left alone.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.store import write

from scratchlm.base.runfolder import Train, read_log
from scratchlm.data.prepare import prepare
from scratchlm.tokens.config import PrepareConfig

RANKS, STEPS = 4, 24
LONGEST = 300.0
"""Seconds after which a run counts as hung."""
SIZES = f"--training.batch-size 8 --training.sequence-length 32 --training.steps {STEPS} --training.checkpoint-every 4"
FIXED = "--training.log-every 1 --training.evaluate-every 8 --dtype fp32 --threads 1 --seed 3"
Ended = tuple[list[str], bytes]


def start(data: Path, out: Path, *more: str) -> subprocess.Popen[bytes]:
    """Start a run on four ranks."""
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(RANKS), "--max-restarts", "3"]
    command = ["-m", "scratchlm", "pretrain", "tiny", "--data", str(data), "--out", str(out), *SIZES.split()]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    with out.with_suffix(".said").open("wb") as said:
        return subprocess.Popen(
            [sys.executable, *torchrun, *command, *FIXED.split(), *more], stdout=said, stderr=said, env=environment
        )


def ranks_of(torchrun: subprocess.Popen[bytes]) -> list[int]:
    """Return the processes that torchrun has started."""
    try:
        listed = Path(f"/proc/{torchrun.pid}/task/{torchrun.pid}/children").read_text(encoding="ascii").split()
        commands = {int(pid): Path(f"/proc/{pid}/cmdline").read_bytes() for pid in listed}
    except OSError:
        return []
    return [pid for pid, command in commands.items() if b"pretrain" in command]


def outcome(out: Path) -> Ended:
    """Return the losses of a run, and its weights."""
    records = [record for record in read_log(out / "metrics.jsonl") if isinstance(record, Train)]
    weights = out / "checkpoints" / f"{STEPS:08d}" / "model.safetensors"
    return [f"{record.step} {record.loss!r}" for record in records], weights.read_bytes()


def kill_one(data: Path, out: Path, draw: random.Random, seconds: float, more: list[str]) -> tuple[float | None, float]:
    """Kill a rank after a part of `seconds`; return how long the others took to end, and the run altogether.

    None where the run had ended before.
    """
    began = time.monotonic()
    torchrun = start(data, out, *more)
    time.sleep(draw.uniform(0.1, 0.95) * seconds)
    ranks = ranks_of(torchrun)
    if not ranks:
        torchrun.wait(LONGEST)
        return None, time.monotonic() - began
    os.kill(draw.choice(ranks), signal.SIGKILL)
    killed = time.monotonic()
    while any(Path(f"/proc/{pid}").exists() for pid in ranks) and time.monotonic() - killed < LONGEST:
        time.sleep(0.05)
    noticed = time.monotonic() - killed
    torchrun.wait(LONGEST)
    return noticed, time.monotonic() - began


def main() -> int:
    """Kill as often as is asked for; return 1 where a run did not end as it should."""
    parser = argparse.ArgumentParser(prog="python -m tests.kills.ranks", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=20, help="how many runs, of each of which one rank is killed")
    parser.add_argument("--seed", type=int, default=0, help="seed of ranks and moments")
    parser.add_argument("--sharding", default="none", help="what a rank holds: none, full")
    parser.add_argument("--record", help="name of a file in bench/results/kills for what was found")
    given = parser.parse_args()
    draw, found = random.Random(given.seed), list[dict[str, Any]]()
    more = ["--sharding", given.sharding]
    with tempfile.TemporaryDirectory(prefix="scratchlm-kills.") as name:
        place = Path(name)
        prepare(PrepareConfig(("storyworld:100KB",), out=place / "data", vocabulary_size=400))
        began = time.monotonic()
        start(place / "data", place / "alone", *more).wait(LONGEST)
        seconds = time.monotonic() - began
        expected = outcome(place / "alone")
        for number in range(3 * given.kills):  # some come too late
            if sum(each["noticed"] is not None for each in found) == given.kills:
                break
            out = place / str(number)
            noticed, took = kill_one(place / "data", out, draw, seconds, more)
            try:
                same = outcome(out) == expected
            except OSError:
                same = False
            found.append({"noticed": noticed, "took": took, "same": same})
            told = "the same" if same else "DIFFERENT: " + out.with_suffix(".said").read_text(errors="replace")[-500:]
            when = "too late" if noticed is None else f"others ended after {noticed:.1f} s"
            print(f"kill {number + 1}: {when}, the run after {took:.0f} s, {told}", flush=True)
    wrong = sum(not each["same"] for each in found)
    longest = max((each["noticed"] or 0.0 for each in found), default=0.0)
    print(f"{len(found)} kills of one of {RANKS} ranks: {wrong} wrong, others ended within {longest:.1f} s")
    if given.record:
        told = f"one of {RANKS} ranks killed for good at random moments, and all started again by torchrun"
        kept = {"task": told, "sharding": given.sharding, "seed": given.seed, "wrong": wrong, "longest": longest}
        write(f"kills/{given.record}", {**kept, "runs": found})
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
