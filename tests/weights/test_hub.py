"""Models by name: from the cache without a network, checked against the server's hash."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from safetensors.torch import load_file

from commands import fails, run
from scratchlm.weights.checkpoint import load_model, save_model
from scratchlm.weights.hub import NAMED
from transfer import model


@pytest.fixture
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Path:
    """Write a toy model into a cache of huggingface-hub, under a named model's repository."""
    from huggingface_hub import constants

    save_model(tmp_path / "model", model())
    assert run(capsys, "export", tmp_path / "model", "--out", tmp_path / "hf")[0] == 0
    place = tmp_path / "cache" / f"models--{NAMED['smollm2-135m'].replace('/', '--')}"
    snapshot = place / "snapshots" / "0123abc"
    (place / "refs").mkdir(parents=True)
    (place / "refs" / "main").write_text("0123abc")
    (place / "blobs").mkdir()
    snapshot.mkdir(parents=True)
    for path in (tmp_path / "hf").iterdir():
        blob = place / "blobs" / hashlib.sha256(path.read_bytes()).hexdigest()
        path.rename(blob)
        (snapshot / path.name).symlink_to(blob)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return snapshot


def test_a_model_in_the_cache_needs_no_network(cached: Path, tmp_path: Path, capsys) -> None:
    assert run(capsys, "import", "smollm2-135m", "--out", tmp_path / "out")[0] == 0
    taken = load_model(tmp_path / "out")
    assert len(dict(taken.decoder.named_parameters())) == len(load_file(cached / "model.safetensors"))
    assert taken.provenance["source"] == "smollm2-135m"
    assert taken.provenance["revision"] == "0123abc"


def test_a_file_that_differs_from_the_servers_is_refused(cached: Path, tmp_path: Path, capsys) -> None:
    blob = (cached / "model.safetensors").resolve()
    blob.write_bytes(blob.read_bytes()[:-1] + b"!")
    assert "SHA-256 differs" in fails(capsys, "import", "smollm2-135m", "--out", tmp_path / "out")


def test_without_network_and_cache_the_remedy_is_named(cached: Path, tmp_path: Path, capsys) -> None:
    assert "connect to the network" in fails(capsys, "import", "qwen3-0.6b", "--out", tmp_path / "out")


def test_an_unknown_name_is_answered_with_the_nearest(tmp_path: Path, capsys) -> None:
    assert "did you mean 'smollm2-135m'" in fails(capsys, "import", "smolm2-135m", "--out", tmp_path / "out")
