"""A model folder is written atomically and round-trips."""

from __future__ import annotations

import errno
import json
import shutil
from pathlib import Path

import pytest
import torch

from scratchlm.base.errors import UserError
from scratchlm.tokens.chat import ChatTemplate
from scratchlm.weights import checkpoint
from scratchlm.weights.checkpoint import (
    SavedModel,
    find_model,
    latest_checkpoint,
    load_model,
    load_training_state,
    load_weights,
    save_checkpoint,
    save_model,
    verify,
)
from scratchlm.weights.stored import read_stored
from toys import BYTE_VOCABULARY, TOYS, byte_tokenizer, random_decoder, random_ids, toy_config


def saved(name: str = "default", seed: int = 0, **changes) -> SavedModel:
    tokenizer = byte_tokenizer()
    return SavedModel(
        decoder=random_decoder(toy_config(name, vocabulary_size=BYTE_VOCABULARY, **changes), seed),
        tokenizer=tokenizer,
        template=ChatTemplate(tokenizer),
        generation={"temperature": 0.5, "top_k": 40},
        provenance={"data": "Märchen", "steps": 3},
    )


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_checkpoint(tmp_path / "model", saved(), {"a:exp_avg": torch.arange(3.0)}, {"step": 3, "batches": {"epoch": 1}})
    return tmp_path / "model"


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("name", TOYS)
def test_a_model_read_again_is_the_same_in_every_part(name: str, tied: bool, tmp_path: Path) -> None:
    model = saved(name, tied=tied)
    save_model(tmp_path / "model", model)
    again = load_model(tmp_path / "model")
    assert again.decoder.config == model.decoder.config
    assert [n for n, _ in again.decoder.named_parameters()] == [n for n, _ in model.decoder.named_parameters()]
    for one, other in zip(model.decoder.parameters(), again.decoder.parameters(), strict=True):
        assert torch.equal(one, other)
        assert other.requires_grad
    ids = random_ids(1, 20, BYTE_VOCABULARY)
    with torch.no_grad():
        assert torch.equal(model.decoder.eval()(ids), again.decoder.eval()(ids))
    assert again.tokenizer.fingerprint == model.tokenizer.fingerprint
    assert again.template.source == model.template.source
    assert again.generation == model.generation
    assert again.provenance == model.provenance


def test_a_model_without_a_template_is_read_without_one(tmp_path: Path) -> None:
    model = saved()
    model.template = None
    save_model(tmp_path / "model", model)
    assert load_model(tmp_path / "model").template is None


def test_the_training_state_read_again_is_the_same(folder: Path) -> None:
    tensors, state = load_training_state(folder)
    assert torch.equal(tensors["a:exp_avg"], torch.arange(3.0))
    assert state["step"] == 3
    assert state["batches"] == {"epoch": 1}


def test_weights_are_copied_into_a_decoder_that_exists(folder: Path) -> None:
    other = saved(seed=5).decoder
    load_weights(other, folder)
    assert all(torch.equal(a, b) for a, b in zip(other.parameters(), saved().decoder.parameters(), strict=True))


def test_nothing_that_is_written_is_a_pickle(folder: Path) -> None:
    for name, data in contents(folder).items():
        if name.endswith(".safetensors"):
            json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        else:
            assert name.endswith((".json", ".jinja"))
            data.decode("utf-8")
        assert not data.startswith((b"\x80", b"PK"))


@pytest.mark.parametrize("harm", ["cut by a byte", "altered in one bit", "emptied", "removed"])
@pytest.mark.parametrize(
    "name",
    [
        *("config.json", "model.safetensors", "tokenizer.json", "chat_template.jinja", "generation.json"),
        *("optimizer.safetensors", "training.json", "files.json"),
    ],
)
def test_a_damaged_file_is_refused_by_name(folder: Path, name: str, harm: str) -> None:
    verify(folder)
    path = folder / name
    data = path.read_bytes()
    middle = len(data) // 2
    harmed = {
        "cut by a byte": data[:-2],
        "altered in one bit": data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :],
        "emptied": b"",
    }
    path.unlink() if harm == "removed" else path.write_bytes(harmed[harm])
    for read in (load_model, load_training_state):
        with pytest.raises(UserError) as caught:
            read(folder)
        message = str(caught.value)
        if name != "files.json" or harm != "altered in one bit":  # then it is another file that does not fit
            assert name in message
        assert "\n" not in message


def test_weights_that_do_not_fit_the_config_are_refused(folder: Path, tmp_path: Path) -> None:
    save_model(tmp_path / "other", saved(tied=False))
    shutil.copy(tmp_path / "other" / "model.safetensors", folder / "model.safetensors")
    (folder / "files.json").unlink()
    checkpoint.write_hashes(folder)
    with pytest.raises(UserError, match=r"do not fit the config.*head\.weight"):
        load_model(folder)


def test_a_tokenizer_larger_than_the_model_is_refused(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["decoder"]["vocabulary_size"] = 10
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "files.json").unlink()
    checkpoint.write_hashes(folder)
    with pytest.raises(UserError, match="the tokenizer has 260 ids and the model 10"):
        load_model(folder)


def test_a_format_of_the_future_is_refused(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "format": 99}))
    with pytest.raises(UserError, match="format 99 is newer than 2"):
        read_stored(folder)


FAILURES = {
    "json": ("write_json", OSError(errno.ENOSPC, "No space left on device")),
    "tensors": ("save_file", OSError(errno.ENOSPC, "No space left on device")),
    "tensors as safetensors says it": (
        "save_file",
        checkpoint.SafetensorError(
            "Error while serializing: IoError(Os { code: 28, kind: StorageFull }) (os error 28)"
        ),
    ),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_a_full_disk_keeps_the_last_good_folder_and_leaves_nothing_behind(folder: Path, failure, monkeypatch) -> None:
    before = contents(folder)
    function, error = FAILURES[failure]
    real, calls = getattr(checkpoint, function), []

    def failing(*arguments):
        calls.append(1)
        if len(calls) > 1:  # not at once: half of it is written
            raise error
        return real(*arguments)

    monkeypatch.setattr(checkpoint, function, failing)
    with pytest.raises(UserError, match="the disk is full"):
        save_checkpoint(folder, saved(seed=1), {"a:exp_avg": torch.zeros(3)}, {"step": 9})
    assert len(calls) == 2
    assert contents(folder) == before
    assert [path.name for path in folder.parent.iterdir()] == ["model"]
    load_model(folder)


def test_a_full_disk_at_the_first_save_leaves_no_folder(tmp_path: Path, monkeypatch) -> None:
    def failing(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", failing)
    with pytest.raises(UserError, match="the disk is full"):
        save_model(tmp_path / "model", saved())
    assert list(tmp_path.iterdir()) == []


def test_saving_again_replaces_the_folder_whole(folder: Path) -> None:
    save_model(folder, saved(seed=1))
    assert not (folder / "optimizer.safetensors").exists()
    assert torch.equal(load_model(folder).decoder.embedding.weight, saved(seed=1).decoder.embedding.weight)


def test_a_folder_is_found_by_itself_its_run_or_its_newest_checkpoint(folder: Path, tmp_path: Path) -> None:
    assert find_model(folder) == folder
    assert find_model(tmp_path) == folder
    run = tmp_path / "run"
    for step in (7, 100, 14):
        shutil.copytree(folder, run / "checkpoints" / f"{step:08d}")
    (run / "checkpoints" / ".00000200.0a.tmp").mkdir()
    assert find_model(run) == latest_checkpoint(run / "checkpoints") == run / "checkpoints" / "00000100"
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="empty: has no model"):
        find_model(tmp_path / "empty")
    with pytest.raises(UserError, match="nowhere: no such model folder"):
        find_model(tmp_path / "nowhere")
