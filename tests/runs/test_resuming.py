"""Runs of the named recipes go on bit for bit after a kill."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
import torch

from marks import slow
from scratchlm.base.runfolder import Timing, Train, read_log
from scratchlm.data.prepare import prepare
from scratchlm.pretraining.config import PretrainConfig
from scratchlm.pretraining.depth_scaling import load_recipe
from scratchlm.pretraining.pretrain import pretrain
from scratchlm.tokens.config import PrepareConfig
from scratchlm.weights.checkpoint import latest_checkpoint, load_training_state

STEPS, SAVED = 6, 3


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared text of some ten windows."""
    folder = tmp_path_factory.mktemp("text")
    lines = [f"On day {day} the miller sold {day * day} sacks, and his cat slept.\n\n" for day in range(900)]
    (folder / "days.txt").write_text("".join(lines), encoding="utf-8")
    prepare(PrepareConfig((str(folder / "days.txt"),), out=folder / "data", vocabulary_size=280, split_on="\n\n"))
    return folder / "data"


@pytest.mark.parametrize(
    "name",
    [
        "default",
        slow("speedrun"),
        slow("books"),
        slow("characters"),
        slow("characters-quick"),
    ],
)
def test_a_recipe_killed_after_a_checkpoint_ends_as_if_it_had_not_been(name: str, text: Path, tmp_path: Path) -> None:
    recipe = load_recipe(name, 2 if name in ("default", "speedrun") else None)
    flags = {"steps": STEPS, "batch_size": 2, "sequence_length": 32, "checkpoint_every": SAVED, "evaluate_every": 2}
    training = dataclasses.replace(recipe.training, **flags, sample_every=4, log_every=1, compile=False)
    model = dataclasses.replace(recipe.model, layers=2)  # its parts matter, not how often they stand above each other
    config = PretrainConfig(name, data=(text,), out=tmp_path / "whole", model=model, training=training)
    pretrain(config)
    killed = shutil.copytree(tmp_path / "whole", tmp_path / "killed")
    shutil.rmtree(latest_checkpoint(killed / "checkpoints"))  # the log is ahead of what was saved, as a kill leaves it
    assert latest_checkpoint(killed / "checkpoints").name == f"{SAVED:08d}"
    pretrain(PretrainConfig(resume=killed))
    ends = [latest_checkpoint(run / "checkpoints") for run in (tmp_path / "whole", killed)]
    assert [end.name for end in ends] == [f"{STEPS:08d}"] * 2
    assert (ends[0] / "model.safetensors").read_bytes() == (ends[1] / "model.safetensors").read_bytes()
    (tensors, state), (others, other_state) = map(load_training_state, ends)
    assert state == other_state
    assert all(torch.equal(tensors[key], others[key]) for key in tensors)
    assert list(read_log(tmp_path / "whole" / "metrics.jsonl")) == list(read_log(killed / "metrics.jsonl"))


def test_a_log_of_a_later_version_is_read_without_what_only_that_one_knows(tmp_path: Path) -> None:
    file = tmp_path / "metrics.jsonl"
    line = {"kind": "train", "step": 1, "loss": 2.0, "gradient_norm": 1.0, "tokens": 8, "skipped": False, "new": 1}
    rows = [{**line, "timing": {"seconds": 0.5, "io": 0.1}}, {"kind": "weather", "step": 1}]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (record,) = read_log(file)
    assert record == Train(step=1, loss=2.0, gradient_norm=1.0, tokens=8, skipped=False, timing=Timing(0.5))
    assert record.timing == Timing(0.5)
