"""Every line of docs/training.md runs as it is written, by its own program, on toy text and with fewer steps."""

from __future__ import annotations

import json
import os
import random
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = ROOT / "docs" / "training.md"
FEWER = {"--minutes": "0.15", "--training.steps": "9"}
"""Values of the page, and what is run in their place."""
SMALL = ["--training.batch-size", "4", "--training.sequence-length", "32"]
TORCHRUN = ["-m", "torch.distributed.run", "--standalone"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.long,
    pytest.mark.skipif(sys.platform != "linux", reason="gloo's ranks and Ray are tried on Linux"),
]


def lines() -> list[str]:
    """Return the commands of the page but those that install something, in order."""
    found = re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return [line for block in found for line in block.splitlines() if not line.startswith("pip ")]


def command(line: str) -> list[str]:
    """Return how a line is started here: the same program and flags, with smaller numbers."""
    words = shlex.split(line, comments=True)
    words = [FEWER.get(before, word) for before, word in zip(["", *words], words, strict=False)]
    start = {
        "scratchlm": [sys.executable, "-m", "scratchlm"],
        "torchrun": [sys.executable, *TORCHRUN],
        "python": [sys.executable, str(ROOT / words[1])],
    }[words[0]]
    words = words[2 if words[0] == "python" else 1 :]
    trains = ("pretrain" in words and "--resume" not in words) or words[:2] == ["plan", "default"]
    flat = ["--depth", "2"] if trains and "depth" not in line else []
    return [*start, *words, *flat, *(SMALL if trains else [])]


def test_every_line_of_the_page_runs_as_it_is_written(tmp_path: Path) -> None:
    for needed in ("ray", "tensorboard"):
        pytest.importorskip(needed)
    draw = random.Random(0)
    words = ["".join(draw.choices("etaoinshrdlu", k=draw.randint(3, 8))) for _ in range(2000)]
    texts = [" ".join(draw.choices(words, k=90)) + "." for _ in range(300)]
    (tmp_path / "books.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), "utf-8")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    told, ran = [], lines()
    assert {line.split()[0] for line in ran} == {"scratchlm", "torchrun", "python"}
    for line in ran:
        done = subprocess.run(command(line), capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=300)
        told.append(f"{line}\n{done.stdout}{done.stderr}")
        assert done.returncode == 0, told[-1]
    for name in (
        "run",
        "rates",
        "wide",
        "teachers/a",
        "student",
        "watched",
        "both",
        "parts",
        "onray",
    ):
        assert (tmp_path / name / "report.html").exists() or (tmp_path / name / "best.toml").exists(), name
