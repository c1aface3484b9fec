"""A run on several corpora: it goes on bit for bit, and reports loss and epochs of each."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from commands import fails, run
from scratchlm.base.runfolder import Evaluation, read_log

SMALL = (
    "--training.steps", "8", "--training.batch-size", "4", "--training.sequence-length", "16", "--threads", "1",
    "--dtype", "fp32", "--training.no-compile", "--training.checkpoint-every", "4", "--training.evaluate-every", "4",
)  # fmt: skip
MIX = ("--mix", "3,1", "--mix-after", "5=1,1")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stories, and a little text that a run reads more than once."""
    folder = tmp_path_factory.mktemp("mixed")
    lines = (f"On day {day} the miller slept {day * day} hours.\n\n" for day in range(60))
    (folder / "days.txt").write_text("".join(lines))
    return folder


def prepared(capsys: pytest.CaptureFixture[str], folder: Path) -> tuple[str | Path, ...]:
    made = ("prepare", "storyworld:40KB", "--out", folder / "stories", "--vocabulary-size", "300")
    little = ("prepare", folder / "days.txt", "--split-on", "\n\n", "--tokenizer", folder / "stories")
    if not (folder / "days").exists():
        assert run(capsys, *made)[0] == 0
        assert run(capsys, *little, "--out", folder / "days")[0] == 0
    return "--data", folder / "stories", "--data", folder / "days"


def test_a_run_on_two_corpora_reports_each_and_goes_on_bit_for_bit(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, out = prepared(capsys, place), tmp_path / "run"
    code, _, err = run(capsys, "pretrain", "tiny", *data, *MIX, "--out", out, *SMALL)
    assert code == 0, err
    assert "stories: loss" in err
    last = [each for each in read_log(out / "metrics.jsonl") if isinstance(each, Evaluation)][-1]
    assert last.corpora is not None
    assert last.loss == pytest.approx(sum(each["loss"] for each in last.corpora.values()) / 2)  # by the last weights
    read = json.loads((out / "manifest.json").read_text())["corpora"]
    assert [each["name"] for each in read] == ["stories", "days"]
    rows = 8 * 4 * 16  # tokens of the run: five steps at 3 to 1, then three at 1 to 1
    assert read[1]["epochs"] * read[1]["tokens"] == pytest.approx(rows * (5 / 4 + 3 / 2) / 8, rel=0.01)
    report = (out / "report.html").read_text()
    assert "<td>days</td>" in report
    weights = out / "checkpoints" / "00000008" / "model.safetensors"
    before = weights.read_bytes()
    shutil.rmtree(weights.parent)
    code, _, err = run(capsys, "pretrain", "--resume", out)
    assert code == 0, err
    assert weights.read_bytes() == before
    assert "--mix 1,1: the run has 3,1" in fails(capsys, "pretrain", "--resume", out, "--mix", "1,1", code=1)


def test_a_plan_says_how_often_each_corpus_is_read(
    place: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    data = prepared(capsys, place)
    code, out, err = run(capsys, "plan", "tiny", *data, "--mix", "3,1", "--json", *SMALL[:6])
    assert code == 0, err
    corpora = json.loads(out)["corpora"]
    assert [each["name"] for each in corpora] == ["stories", "days"]
    assert corpora[1]["epochs"] == pytest.approx(8 * 4 * 16 / 4 / corpora[1]["tokens"], abs=2e-3)
    assert "--mix 3,1: needs several corpora" in fails(capsys, "plan", "tiny", "--mix", "3,1")


def test_corpora_of_two_tokenizers_are_refused(place: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    data = prepared(capsys, place)
    own = ("prepare", place / "days.txt", "--split-on", "\n\n", "--out", tmp_path / "own", "--vocabulary-size", "270")
    assert run(capsys, *own)[0] == 0
    told = fails(capsys, "pretrain", "tiny", *data[:2], "--data", tmp_path / "own", "--out", tmp_path / "run", *SMALL)
    assert told.count("its tokenizer") == 1
    assert f"prepare it with --tokenizer {place / 'stories'}" in told
    assert not (tmp_path / "run").exists()


def test_a_corpus_named_twice_and_a_step_that_no_clock_knows_are_refused(
    place: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    data, out = prepared(capsys, place), ("--out", tmp_path / "run")
    told = fails(capsys, "pretrain", "tiny", *data[:2], *data[:2], *out, *SMALL)
    assert f"--data {place / 'stories'}: is named twice" in told
    assert "the run has 8 steps" in fails(capsys, "pretrain", "tiny", *data, "--mix-after", "8=1,1", *out, *SMALL)
    clock = ("--mix-after", "8=1,1", "--minutes", "1")
    for verb in (("pretrain", "tiny", *data, *out), ("plan", "tiny", *data)):
        assert "--mix-after: names a step, and --minutes decides" in fails(capsys, *verb, *clock, code=2)
    assert not (tmp_path / "run").exists()
