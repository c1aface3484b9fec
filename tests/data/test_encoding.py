"""Text that a Ray cluster encodes gives the same shards, byte for byte."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest

from scratchlm.base.errors import UserError
from scratchlm.data import prepare as preparing
from scratchlm.data.prepare import PrepareConfig, prepare

WITHOUT_RAY = importlib.util.find_spec("ray") is None


def shards(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.tokens"))}


@pytest.mark.slow
@pytest.mark.xdist_group("ranks")
@pytest.mark.skipif(WITHOUT_RAY, reason="needs the extra `cluster`")
def test_shards_of_ray_are_those_of_this_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparing, "BATCH_CHARACTERS", 20_000)
    monkeypatch.setattr(preparing, "SHARD_TOKENS", 30_000)
    here, there = tmp_path / "here", tmp_path / "there"
    prepare(PrepareConfig(("storyworld:500KB",), out=here, vocabulary_size=600))
    prepare(PrepareConfig(("storyworld:500KB",), out=there, tokenizer=here, on="ray"))
    found = shards(here)
    assert len(found) > 3
    assert shards(there) == found
    told = [json.loads((folder / "prepare.json").read_text())["data_hash"] for folder in (here, there)]
    assert told[0] == told[1]
    words = tmp_path / "letters.txt"
    words.write_text("abc " * 100)
    prepare(PrepareConfig((str(words),), out=tmp_path / "letters", tokenizer="characters", split="tail:0.1"))
    words.write_text("abc xyz " * 100)
    again = PrepareConfig(
        (str(words),), out=tmp_path / "no", tokenizer=tmp_path / "letters", on="ray", split="tail:0.1"
    )
    with pytest.raises(UserError, match=r"^'x' at character \d+: not one of the"):
        prepare(again)
    assert not (tmp_path / "no").exists()


def test_without_ray_the_remedy_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r'--on ray: needs Ray; run pip install "scratchlm\[cluster\]"'):
        prepare(PrepareConfig(("storyworld:60KB",), out=tmp_path / "data", vocabulary_size=300, on="ray"))
    assert not (tmp_path / "data").exists()
