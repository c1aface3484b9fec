"""Each fine-tuning, killed for good (SIGKILL) after a checkpoint, goes on and ends bit for bit as one left alone."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from scratchlm.base.runlog import read_log
from scratchlm.tokens.chat import ChatTemplate
from scratchlm.weights.checkpoint import SavedModel, save_model
from toys import BYTE_VOCABULARY, byte_tokenizer, random_decoder, toy_config

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL"),
]
WORDS = ("cat", "dog", "hen", "cow", "pig", "fox")
FLAGS = {
    "classify": ("--epochs", "20", "--lora"),
    "instruct": ("--epochs", "12", "--training.sequence-length", "64", "--scored", "4", "--reply-tokens", "4"),
    "prefer": ("--epochs", "12", "--lora", "--training.sequence-length", "64"),
    "reinforce": ("--epochs", "0.1", "--questions", "8", "--answers", "2", "--reply-tokens", "3", "--kl-weight", "0.1"),
}


def data(path: Path, kind: str) -> Path | None:
    """Write a file that the command learns from."""
    draw = random.Random(0)
    rows = []
    for number in range(160):
        text = f"{number} " + " ".join(draw.choice(WORDS) for _ in range(3))
        rows.append(
            {
                "classify": {"text": text, "label": "odd" if number % 2 else "even"},
                "instruct": {"prompt": text, "completion": text[::-1]},
                "prefer": {"prompt": text, "chosen": "yes", "rejected": f"no {number}"},
            }.get(kind)
        )
    if kind == "reinforce":
        return None
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def command(kind: str, *arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "scratchlm", "finetune", kind, *map(str, arguments)]


def ends(run: Path) -> tuple[dict[str, bytes], list[dict[str, object]]]:
    """Return the bytes of a run's weights and what it logged, without times."""
    weights = {str(path.relative_to(run)): path.read_bytes() for path in sorted(run.rglob("*.safetensors"))}
    return weights, [{k: v for k, v in record.items() if k != "timing"} for record in read_log(run / "metrics.jsonl")]


@pytest.mark.parametrize("kind", FLAGS)
def test_a_killed_run_ends_as_one_left_alone(kind: str, tmp_path: Path) -> None:
    tokenizer = byte_tokenizer()
    decoder = random_decoder(toy_config("default", vocabulary_size=BYTE_VOCABULARY, context=80))
    save_model(tmp_path / "base", SavedModel(decoder, tokenizer, template=ChatTemplate(tokenizer)))
    read = data(tmp_path / "data.jsonl", kind)
    flags = ["--init", tmp_path / "base", *(["--data", read] if read else []), *FLAGS[kind], "--dtype", "fp32"]
    flags += ["--threads", "1", "--training.log-every", "1"]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    subprocess.run(command(kind, *flags, "--out", whole), check=True, capture_output=True)
    running = subprocess.Popen(
        command(kind, *flags, "--out", killed), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    deadline = time.monotonic() + 120
    while not any((killed / "checkpoints").glob("0*")) and time.monotonic() < deadline and running.poll() is None:
        time.sleep(0.005)
    running.send_signal(signal.SIGKILL)
    _, told = running.communicate()
    assert running.returncode == -signal.SIGKILL, told.decode()[-500:]
    assert not (killed / "result.json").exists()
    subprocess.run(command(kind, "--resume", killed), check=True, capture_output=True)
    assert ends(whole)[1] == ends(killed)[1]
    assert ends(whole)[0] == ends(killed)[0]
    results = [json.loads((run / "result.json").read_text()) for run in (whole, killed)]
    for result in results:
        result.pop("seconds"), result.pop("out")
    assert results[0] == results[1]
