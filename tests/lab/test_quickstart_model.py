"""A small run of `limits` takes the quickstart's model of its folder, and then judges its claims."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from commands import fails, run
from scratchlm.base.errors import UserError
from scratchlm.lab.catalogue import recipe
from scratchlm.lab.experiments.config import LimitsConfig
from scratchlm.lab.harness.outcome import read_outcome
from scratchlm.lab.shared.fine_tuned import QUICKSTART, quickstart_model, with_quickstart
from scratchlm.tokens.chat import ChatTemplate
from scratchlm.tours.quickstart.text import storyworld_corpus
from scratchlm.weights.checkpoint import SavedModel, save_model
from toys import BYTE_VOCABULARY, byte_tokenizer, random_decoder, toy_config

STORIES: dict[str, Any] = {"size": 20_000, "seed": 3, "fraction": 0.2}


def saved(folder: Path, stories: object, chat: bool = True) -> Path:
    tokenizer, decoder = byte_tokenizer(), random_decoder(toy_config("default", vocabulary_size=BYTE_VOCABULARY))
    template = ChatTemplate(tokenizer) if chat else None
    save_model(folder, SavedModel(decoder, tokenizer, template, provenance={"stories": stories}))
    return folder


def test_a_small_run_takes_the_model_of_its_folder_and_no_other_run_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    small = recipe("limits", "small")
    assert with_quickstart(small) == small  # there is none
    saved(QUICKSTART, stories=None)
    assert with_quickstart(small) == small  # it has read another text
    saved(QUICKSTART, STORIES, chat=False)
    assert with_quickstart(small) == small  # it cannot answer
    saved(QUICKSTART, stories=STORIES)
    taken = with_quickstart(small)
    assert isinstance(taken, LimitsConfig)
    assert taken.model == QUICKSTART
    assert with_quickstart(replace(small, replay=Path("x"))) == replace(small, replay=Path("x"))
    for other in (recipe("limits", "default"), recipe("tasks", "small")):
        assert with_quickstart(other) == other
    mine = replace(taken, model=Path("mine"))
    assert with_quickstart(mine) == mine


def test_the_stories_that_a_quickstarts_model_has_read_are_told_again(tmp_path: Path) -> None:
    corpus = storyworld_corpus(**STORIES)
    _, again = quickstart_model(saved(tmp_path / "model", stories=corpus.made_by))
    assert (again.train, again.held_out) == (corpus.train, corpus.held_out)


@pytest.mark.parametrize(
    "stories", [None, "storyworld", {**STORIES, "size": 10**12}, {**STORIES, "size": -1}, {"size": 5}]
)
def test_another_model_is_refused_with_the_remedy(stories: object, tmp_path: Path) -> None:
    saved(tmp_path / "model", stories=stories)
    with pytest.raises(UserError, match=r"of a quickstart on the built-in stories; make one with"):
        quickstart_model(tmp_path / "model")


def test_several_seeds_of_one_model_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "would ask the one model" in fails(capsys, "experiment", "limits", "--full", "--model", tmp_path, code=2)


@pytest.mark.slow
def test_after_a_quickstart_a_small_run_of_limits_judges_its_claims(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(capsys, "quickstart", "--minutes", "0.4")[0] == 0
    code, out, err = run(capsys, "experiment", "limits", "--small", "--tested", "20", "--sampled", "20")
    assert code == 0, err
    assert "the model is that of a quickstart" in " ".join(out.split())
    outcome = read_outcome(Path("runs/limits/result.json"))
    assert outcome.settings["model"] == "../../quickstart/model"
    assert outcome.small is False
    verdicts = {outcome.verdict(claim).removesuffix(" at one seed") for claim in outcome.claims.values()}
    assert verdicts <= {"holds", "does not hold", "could not be shown"}
    assert "too small" not in Path("runs/limits/report.html").read_text(encoding="utf-8")
    replay = ("experiment", "limits", "--replay", "runs/limits/result.json", "--out", "again")
    code, out, err = run(capsys, *replay)
    assert (code, "are reproduced on an equal machine" in " ".join(out.split())) == (0, True), err
    saved(QUICKSTART, stories=STORIES)
    assert "differs from the file that the stored result" in fails(capsys, *replay, "--force")
