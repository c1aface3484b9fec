"""What a kill leaves of an output folder never keeps the same command from starting again."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from scratchlm.base.errors import UserError
from scratchlm.base.folders import MARKER_FILE, atomic_folder, discard, write_marker
from scratchlm.base.outputs import clear, occupied, output_folder
from scratchlm.pretraining.config import PretrainConfig
from scratchlm.runs.run import begin_run, hold
from scratchlm.training.checkpoints import Checkpoints
from scratchlm.weights.checkpoint import SavedModel
from toys import BYTE_VOCABULARY, byte_tokenizer, random_decoder, toy_config


class Killed(BaseException):
    """A process that does nothing more."""


@contextmanager
def killed_before(owner: object, name: str, number: int) -> Iterator[None]:
    """Let a function of the system be called `number` times in the block, then never again: the block ends there."""
    whole, calls = getattr(owner, name), []

    def counted(*arguments: Any, **named: Any) -> Any:
        calls.append(1)
        if len(calls) > number:
            raise Killed
        return whole(*arguments, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, name, counted)
        with pytest.raises(Killed):
            yield


def run_folder(path: Path) -> Path:
    write_marker(path, "run", ["recipe.toml", "samples/*.txt"])
    (path / "recipe.toml").write_text("steps = 1")
    (path / "samples").mkdir()
    (path / "samples" / "1.txt").write_text("a")
    with atomic_folder(path / "checkpoints" / "00000001", "checkpoint") as temporary:
        (temporary / "config.json").write_text("{}")
    return path


@pytest.mark.parametrize("number", range(5))
def test_a_kill_while_a_folder_is_cleared_leaves_one_that_force_replaces(tmp_path: Path, number: int) -> None:
    out = run_folder(tmp_path / "run")
    with killed_before(Path, "unlink", number):
        clear(out)
    with output_folder(out, "run", force=True):
        clear(out)
    assert not out.exists() or os.listdir(out) == []


def test_a_kill_at_the_first_file_of_a_folder_leaves_it_free(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with killed_before(os, "replace", 0):
        write_marker(out, "run", [])
    assert len(os.listdir(out)) == 1
    with output_folder(out, "run"):
        write_marker(out, "run", [])
    assert os.listdir(out) == [MARKER_FILE]
    with output_folder(out, "run"):  # nothing but the marker: nothing can be lost
        pass


@pytest.mark.parametrize("number", range(3))
def test_what_has_a_recipe_has_all_that_resuming_needs(tmp_path: Path, number: int) -> None:
    with killed_before(os, "replace", number):
        begin_run(tmp_path, {"steps": 1}, {}, {"inputs": {}})
    assert not (tmp_path / "recipe.toml").exists()


@pytest.mark.parametrize("number", range(3))
def test_a_run_whose_beginning_was_killed_begins_without_force(tmp_path: Path, number: int) -> None:
    out = tmp_path / "run"
    config = PretrainConfig(out=out)
    with killed_before(os, "replace", number):
        begin_run(out, {"steps": 1}, {}, {"inputs": {}})
    with hold(config, alone=False):
        begin_run(out, {"steps": 2}, {}, {"inputs": {}})
    assert "steps = 2" in (out / "recipe.toml").read_text()
    with pytest.raises(UserError, match="exists already"), hold(config, alone=False):
        pass


def test_a_manifest_of_somebody_else_is_not_taken_for_a_beginning(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").touch()
    for _ in range(2):
        with pytest.raises(UserError, match="exists already"), hold(PretrainConfig(out=tmp_path), alone=False):
            pass
        write_marker(tmp_path, "model", ["manifest.json"])


def test_a_checkpoint_is_never_half_removed_and_what_was_not_removed_goes_at_the_next_start(
    tmp_path: Path,
) -> None:
    model = SavedModel(random_decoder(toy_config("default", vocabulary_size=BYTE_VOCABULARY)), byte_tokenizer())
    kept = Checkpoints(tmp_path / "checkpoints", model, keep=1)
    state = {"bad_steps": 0, "batches": None, "scaler": {}, "hooks": {}, "log_lines": 0}
    kept.save(1, {"a": torch.zeros(1)}, state)
    with killed_before(shutil, "rmtree", 2):  # two are those of the folder that was written
        kept.save(2, {"a": torch.zeros(1)}, state)
    names = [name for name in os.listdir(kept.folder) if not name.startswith(".")]
    assert names == ["00000002"]
    shutil.copytree(kept.folder / "00000002", kept.folder / "00000001")  # as a kill before the removal leaves it
    assert kept.restore() is not None
    assert [name for name in os.listdir(kept.folder) if not name.startswith(".")] == ["00000002"]


def test_a_half_written_first_file_does_not_make_a_folder_somebody_elses(tmp_path: Path) -> None:
    (tmp_path / ".stories.jsonl.1a2b3c4d.tmp").touch()
    assert not occupied(tmp_path)
    (tmp_path / "stories.jsonl").touch()
    assert occupied(tmp_path)


def test_a_discarded_folder_is_gone(tmp_path: Path) -> None:
    discard(run_folder(tmp_path / "run"))
    discard(tmp_path / "none")
    assert os.listdir(tmp_path) == []
