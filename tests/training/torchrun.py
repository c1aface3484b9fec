"""Trainings on the ranks of torchrun: how tests start them, and what they look at."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from scratchlm.base.runfolder import Train, read_log

ROOT = Path(__file__).parent.parent.parent


def on(ranks: int, *command: str, fails: bool = False) -> str:
    """Run a program on so many ranks, by torchrun where they are more than one; return what it printed."""
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [*(start if ranks > 1 else [sys.executable]), *command], capture_output=True, text=True, env=environment,
        cwd=ROOT, timeout=300,
    )  # fmt: skip
    assert (done.returncode != 0) == fails, done.stdout + done.stderr
    return done.stdout + done.stderr


def settings(data: Path, out: Path) -> list[str]:
    sizes = ["--training.batch-size", "6", "--training.sequence-length", "32", "--training.steps", "24"]
    often = ["--training.log-every", "1", "--training.evaluate-every", "8", "--training.checkpoint-every", "8"]
    fixed = ["--dtype", "fp32", "--threads", "1", "--seed", "3"]
    return ["-m", "scratchlm", "pretrain", "tiny", "--data", str(data), "--out", str(out), *sizes, *often, *fixed]


def losses(run: Path) -> list[float]:
    return [float(record.loss) for record in read_log(run / "metrics.jsonl") if isinstance(record, Train)]


def prepared(folder: Path) -> Path:
    """Prepare a little text."""
    on(1, "-m", "scratchlm", "prepare", "storyworld:100KB", "--out", str(folder), "--vocabulary-size", "400")
    return folder
