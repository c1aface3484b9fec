"""Where memory is too small a step is computed in smaller parts; where a disk is too small a run does not begin."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from scratchlm.base.errors import UserError
from scratchlm.base.files import require_space
from scratchlm.data.batches import Batch
from scratchlm.training.checkpoints import Checkpoints
from scratchlm.training.config import TrainingConfig
from scratchlm.training.loop import Loop
from scratchlm.training.loss import next_token_loss
from scratchlm.weights.checkpoint import SavedModel
from toys import byte_tokenizer, random_decoder, random_ids, toy_config


def batches(state):
    place = 0 if state is None else state["index"]
    while True:
        place += 1
        ids = random_ids(8, 13, seed=place)
        yield Batch(ids[:, :-1].contiguous(), ids[:, 1:].contiguous()), {"index": place}


def hungry(most: int, error: Exception):
    """The usual loss, with memory for so many rows from its third call on; the failure comes after a first part."""
    calls = []

    def loss(decoder, batch: Batch) -> torch.Tensor:
        calls.append(len(batch.ids))
        if len(calls) > 3 and len(batch.ids) > most:
            raise error
        return next_token_loss(decoder, batch)

    return loss


FAILURES = {
    "gpu": torch.OutOfMemoryError("CUDA out of memory"),
    "cpu": RuntimeError("DefaultCPUAllocator: can't allocate memory"),
    "python": MemoryError(),
}


@pytest.mark.parametrize("error", FAILURES.values(), ids=FAILURES)
def test_a_step_without_memory_is_computed_again_in_smaller_parts(error: Exception) -> None:
    runs = {}
    for most in (8, 3):
        loop = Loop(
            random_decoder(toy_config("default")), batches, TrainingConfig(steps=4, batch_size=8), hungry(most, error)
        )
        records = list(loop.steps())
        runs[most] = torch.cat([p.detach().flatten() for p in loop.decoder.parameters()])
        assert [record.smaller_micro_batch for record in records] == [None, None, None, None if most == 8 else 2]
        assert loop.micro_batches.size == (None if most == 8 else 2)
    torch.testing.assert_close(runs[8], runs[3], rtol=1e-4, atol=1e-5)


def test_a_step_that_fails_for_another_reason_is_not_repeated() -> None:
    loop = Loop(random_decoder(toy_config("default")), batches, TrainingConfig(), hungry(0, RuntimeError("a bug")))
    with pytest.raises(RuntimeError, match="a bug"):
        list(loop.steps())


def test_one_row_that_does_not_fit_ends_the_run_with_a_remedy() -> None:
    loop = Loop(random_decoder(toy_config("default")), batches, TrainingConfig(), hungry(0, MemoryError()))
    with pytest.raises(UserError, match=r"step 4: out of memory with one row of 12 tokens; lower training\.sequence_l"):
        list(loop.steps())


REAL = """
import resource, sys, torch
from scratchlm.data.batches import Batch
from scratchlm.model import presets
from scratchlm.model.decoder import build_decoder
from scratchlm.training.config import TrainingConfig
from scratchlm.training.loop import Loop
import dataclasses

decoder = build_decoder(dataclasses.replace(presets.tiny(4096), context=512))

def batches(state):
    ids = torch.randint(0, 4096, (64, 513), generator=torch.Generator().manual_seed(0))
    while True:
        yield Batch(ids[:, :-1].contiguous(), ids[:, 1:].contiguous()), {"index": 1}

loop = Loop(decoder, batches, TrainingConfig(steps=2, batch_size=64))
if sys.argv[1] != "all":
    used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    limit = used + int(sys.argv[1]) * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
print(*[(record.smaller_micro_batch, round(record.loss, 4)) for record in loop.steps()])
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="limits the address space of a process")
def test_a_process_whose_memory_is_limited_trains_all_the_same() -> None:
    def run(limit: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", REAL, limit],
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    free, tight = run("all"), run("900")
    assert "None, " in free.split(")")[0]
    assert "None, " not in tight.split(")")[0]
    assert free.split(",")[1] == tight.split(",")[1]  # the loss of the first step


def test_a_disk_that_cannot_hold_the_checkpoints_is_told_before_the_run(tmp_path: Path) -> None:
    model = SavedModel(random_decoder(toy_config("default")), byte_tokenizer())
    checkpoints = Checkpoints(tmp_path / "run" / "checkpoints", model, keep=2)
    checkpoints.require_space()
    numbers = model.decoder.parameter_count()
    assert checkpoints.size == 12 * numbers  # weights and two moments, in fp32
    with pytest.raises(UserError, match=r"checkpoints take about .* GB are free; free some, choose another folder"):
        Checkpoints(tmp_path / "run", model, keep=10**12).require_space()
    with pytest.raises(UserError, match="a thing take about"):
        require_space(tmp_path / "not" / "there", 1e18, "a thing", "free some")


def test_the_best_checkpoint_is_kept_beside_the_newest(tmp_path: Path) -> None:
    model = SavedModel(random_decoder(toy_config("default")), byte_tokenizer())
    kept = Checkpoints(tmp_path, model, keep=2, every=10, keep_best=True)
    state = {"bad_steps": 0, "batches": None, "scaler": {}, "hooks": {}, "log_lines": 0}
    kept.compare(0, 1.0, 1000)  # nor what comes before all that is saved
    for step, loss in ((10, 3.0), (20, 2.0), (30, 2.5), (40, 2.6), (50, 2.7)):
        kept.save(step, {}, {**state, "best": kept.best and vars(kept.best)})
        kept.compare(step, loss, 1000)
        if step == 30:
            kept.save(35, {}, {**state, "best": kept.best and vars(kept.best)})  # as where the run was stopped
        kept.compare(step + 5, 1.0, 1000)  # what other runs do not save is no rival
    kept.compare(50, 1.0, 2000)  # of other tokens, so no rival
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["00000020", "00000040", "00000050"]
    again = Checkpoints(tmp_path, model, keep=2, every=10, keep_best=True)
    again.restore()
    assert again.best is not None
    assert again.best.step == 20
    plain = Checkpoints(tmp_path / "plain", model, keep=1, every=10)
    for step in (10, 20):
        plain.save(step, {}, state)
        plain.compare(step, float(step), 1000)
    assert [path.name for path in (tmp_path / "plain").iterdir() if path.is_dir()] == ["00000020"]
