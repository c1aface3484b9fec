"""A learner's own GPT is trained by its own functions, and the package goes on with its weights."""

from __future__ import annotations

from pathlib import Path

import pytest

from scratchlm import storyworld
from scratchlm.base.errors import UserError
from scratchlm.lab.course.commands import start
from scratchlm.lab.course.config import StartConfig, TrainOwnConfig
from scratchlm.lab.course.own_model import train_own
from scratchlm.model import minimal
from scratchlm.weights.checkpoint import load_model

SOURCE = Path(minimal.__file__).read_text(encoding="utf-8")
TEXT = "\n".join(storyworld.stories(20_000))


def config_for(folder: Path, source: str, text: str = TEXT, steps: int = 8) -> TrainOwnConfig:
    file, words = folder / "gpt.py", folder / "text.txt"
    file.write_text(source, encoding="utf-8")
    words.write_text(text, encoding="utf-8")
    return TrainOwnConfig(file, text=words, out=folder / "mine", steps=steps)


def test_a_solved_file_becomes_a_model_that_writes_the_same_tokens(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = train_own(config_for(tmp_path, SOURCE))
    assert result.last_loss < result.first_loss
    assert result.gap < 1e-4
    assert "step 1/8: loss" in capsys.readouterr().err
    model = load_model(tmp_path / "mine")
    again = minimal.Tokenizer(TEXT, 512)
    assert model.tokenizer.encode("the rat") == again.encode("the rat")
    assert model.provenance["trained by"] == "gpt.py"


@pytest.mark.parametrize(
    ("find", "put", "said"),
    [
        ("/ math.sqrt(q.size(-1))", "", "gets other logits"),
        ("new, pair = min(known)", "new, pair = max(known)", "gets other token ids"),
        ("centred = x -", "centred = y -", r"line \d+ .*NameError"),
    ],
)
def test_a_mistake_that_training_does_not_notice_is_found(tmp_path: Path, find: str, put: str, said: str) -> None:
    assert SOURCE.count(find) == 1
    with pytest.raises(UserError, match=said):
        train_own(config_for(tmp_path, SOURCE.replace(find, put), steps=2))
    assert not (tmp_path / "mine").exists()


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not there; name your file"):
        train_own(TrainOwnConfig(tmp_path / "none.py"))
    with pytest.raises(UserError, match="a row needs 65"):
        train_own(config_for(tmp_path, SOURCE, text="short"))
    start(StartConfig("2", tmp_path / "new"))
    unwritten = (tmp_path / "new" / "gpt.py").read_text(encoding="utf-8")
    with pytest.raises(UserError, match=r"exercise 2\.\d\): is not written yet"):
        train_own(config_for(tmp_path, unwritten))
