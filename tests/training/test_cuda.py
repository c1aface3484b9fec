"""What a CPU computes, an NVIDIA GPU computes too; run where there is one, and skipped elsewhere."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from commands import run
from scratchlm.base.runfolder import Evaluation, Train, read_log
from scratchlm.data.batches import ArrayTokens
from scratchlm.training.config import TrainingConfig
from scratchlm.training.fit import fit
from scratchlm.training.loop import Loop, RuntimeConfig
from scratchlm.training.stages import training_batches
from toys import TOYS, VOCABULARY, random_decoder, random_ids, toy_config

pytestmark = [pytest.mark.cuda, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")]
GPU = torch.device("cuda")


@pytest.mark.parametrize("toy", TOYS)
def test_logits_and_gradients_are_those_of_the_cpu(toy: str) -> None:
    ids, found = random_ids(3, 16), {}
    documents = torch.tensor([0] * 6 + [1] * 10).expand(3, -1)
    for device in (torch.device("cpu"), GPU):
        decoder = random_decoder(toy_config(toy)).to(device)
        logits = decoder(ids.to(device), documents=documents.to(device))
        logits.square().mean().backward()
        found[device.type] = logits, [p.grad for p in decoder.parameters() if p.grad is not None]
    torch.testing.assert_close(found["cuda"][0].cpu(), found["cpu"][0], rtol=1e-3, atol=1e-4)
    for gpus, cpus in zip(found["cuda"][1], found["cpu"][1], strict=True):
        torch.testing.assert_close(gpus.cpu(), cpus, rtol=1e-2, atol=1e-4)


def losses(device: torch.device, dtype: torch.dtype = torch.float32) -> list[float]:
    """Return the losses of a toy's steps on a text that repeats itself."""
    ids = np.resize(np.arange(VOCABULARY, dtype=np.uint16), 4000)
    config = TrainingConfig(steps=30, batch_size=4, sequence_length=16)
    batches = training_batches(ArrayTokens(ids), config, 1)
    loop = Loop(random_decoder(toy_config("default")), batches, config, runtime=RuntimeConfig(device, dtype))
    told: list[float] = []

    class Watching:
        def step(self, record) -> None:
            told.append(record.loss)

        def note(self, *told) -> None:
            pass

    fit(loop, watcher=Watching())
    return told


def test_steps_have_the_losses_of_the_cpu_in_fp32_and_about_them_in_bf16() -> None:
    plain = losses(torch.device("cpu"))
    assert plain[-1] < plain[0] - 0.5
    assert losses(GPU)[:10] == pytest.approx(plain[:10], abs=5e-3)
    assert losses(GPU, torch.bfloat16)[-1] == pytest.approx(plain[-1], abs=0.3)


def test_a_run_is_trained_resumed_and_written_with(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    data, out = tmp_path / "data", tmp_path / "run"
    assert run(capsys, "prepare", "storyworld:100KB", "--out", data, "--vocabulary-size", "400")[0] == 0
    code, _, err = run(capsys, "pretrain", "tiny", "--data", data, "--out", out, "--training.steps", "20")
    assert code == 0, err
    records = list(read_log(out / "metrics.jsonl"))
    assert [record.step for record in records if isinstance(record, Evaluation)][-1] == 20
    assert any(isinstance(record, Train) for record in records)
    assert 'device = "cuda"' in (out / "recipe.toml").read_text(encoding="utf-8")
    assert run(capsys, "pretrain", "--resume", out)[0] == 0
    code, written, err = run(capsys, "generate", out, "Once", "--max-tokens", "8")
    assert code == 0, err
    assert written.strip()


def test_compiled_blocks_train_in_a_process_of_their_own(tmp_path: Path) -> None:
    """Not in this one: torch.compile does not see through the shape checks that tests switch on."""
    program = [sys.executable, "-m", "scratchlm"]
    data, out = str(tmp_path / "data"), str(tmp_path / "run")
    sizes = ["--depth", "2", "--training.steps", "40", "--training.log-every", "1", "--dtype", "bf16"]
    subprocess.run([*program, "prepare", "storyworld:100KB", "--out", data, "--vocabulary-size", "400"], check=True)
    subprocess.run([*program, "pretrain", "speedrun", "--data", data, "--out", out, *sizes], check=True)
    told = [record.loss for record in read_log(tmp_path / "run" / "metrics.jsonl") if isinstance(record, Train)]
    assert float(told[-1]) < float(told[0]) - 0.5
