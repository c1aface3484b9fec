"""A run goes on with what it began with: other flags, an edited recipe and changed inputs are refused by name."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pytest

from commands import fails, run
from scratchlm.base.errors import UserError
from scratchlm.base.files import sha256_of
from scratchlm.cli import main
from scratchlm.pretraining.config import PretrainConfig
from scratchlm.pretraining.pretrain import pretrain
from scratchlm.runs.resuming import refuse_flags
from scratchlm.tokens.base import DEFAULT_SPECIALS
from scratchlm.tokens.bpe import ReadableBPE
from scratchlm.tokens.chat import ChatTemplate
from scratchlm.tokens.patterns import GPT2
from scratchlm.tokens.vocabulary import trained_vocabulary
from scratchlm.training.config import TrainingConfig
from scratchlm.weights.checkpoint import SavedModel, save_checkpoint, save_model, write_hashes
from toys import BYTE_VOCABULARY, byte_tokenizer, random_decoder, toy_config


def save_base(folder: Path, seed: int = 0) -> None:
    tokenizer = byte_tokenizer()
    decoder = random_decoder(toy_config("default", vocabulary_size=BYTE_VOCABULARY, context=80), seed)
    save_model(folder, SavedModel(decoder, tokenizer, template=ChatTemplate(tokenizer)))


def command(*arguments: str | Path) -> list[str | Path]:
    return [*arguments, "--threads", "1"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, prepared text, conversations, and a finished run of each kind, made by the commands."""
    folder = tmp_path_factory.mktemp("made")
    save_base(folder / "base")
    days = [f"On day {day} the miller sold {day * day} sacks." for day in range(200)]
    (folder / "days.txt").write_text("\n\n".join(days), encoding="utf-8")
    (folder / "more").mkdir()
    (folder / "more" / "a.txt").write_text(days[0] * 9, encoding="utf-8")
    rows = [{"prompt": f"{n}?", "completion": f"{n}!"} for n in range(60)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    prepared = ["--tokenizer", folder / "base", "--split-on", "\\n\\n", "--out", folder / "data"]
    main([*map(str, ["prepare", folder / "days.txt", *prepared])])
    sizes = ["--training.steps", "2", "--training.sequence-length", "16", "--dtype", "fp32", "--seed", "7"]
    begun = ["pretrain", "further", "--init", folder / "base", "--data", folder / "data", "--out", folder / "run"]
    main([*map(str, command(*begun, *sizes))])
    taught = ["--init", folder / "base", "--data", folder / "rows.jsonl", "--rehearse", folder / "more"]
    small = ["--epochs", "0.1", "--scored", "1", "--reply-tokens", "2", "--dtype", "fp32", "--seed", "7"]
    small += ["--training.sequence-length", "64"]
    main([*map(str, command("finetune", "instruct", *taught, *small, "--out", folder / "taught"))])
    return folder


@pytest.fixture
def runs(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of everything, in which runs find what they read beside them; nothing of these names lies elsewhere."""
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(made, tmp_path / "copy"))


def test_a_manifest_tells_the_hashes_of_the_recipe_and_of_what_is_read(made: Path) -> None:
    inputs = {"run": {"data", "init"}, "taught": {"data", "init", "rehearse"}}
    for name, wanted in inputs.items():
        manifest = json.loads((made / name / "manifest.json").read_text(encoding="utf-8"))
        assert manifest["recipe_hash"] == sha256_of(made / name / "recipe.toml")
        assert manifest["inputs"].keys() == wanted
        assert manifest["inputs"]["init"] == sha256_of(made / "base" / "files.json")
    assert manifest["inputs"]["data"] == sha256_of(made / "rows.jsonl")


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--seed", "0"), "--seed 0: the run has 7"),  # the usual value is no less given
        (("--training.steps", "9"), "--training.steps 9: the run has"),
        (("--dtype", "bf16", "--seed", "3"), "--seed 3: the run has 7; --dtype bf16: the run has fp32"),
        (("--init", "elsewhere"), "--init elsewhere: the run has"),
        (("--out", "elsewhere"), "--out elsewhere: a run is resumed in its own folder"),
        (("--force",), "--force: replaces nothing beside --resume"),
        (("--threads", "2"), "--threads: the run began with 1 and would go on with 2"),
    ],
)
def test_flags_that_a_resumed_run_would_pass_over_are_refused_by_name(
    flags: tuple[str, ...], told: str, runs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scratchlm.base.device.os.cpu_count", lambda: 2)
    for verb, name in ((("pretrain",), "run"), (("finetune", "instruct"), "taught")):
        if name == "taught" and "--training.steps" in flags:
            continue  # which has no part in any fine-tuning
        before = (runs / name / "manifest.json").read_bytes()
        assert told in fails(capsys, *verb, "--resume", runs / name, *flags)
        assert (runs / name / "manifest.json").read_bytes() == before


def test_flags_that_say_what_the_run_has_are_no_matter(
    made: Path, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    same = ("--seed", "7", "--init", made / "base", "--out", runs / "run", "--training.steps", "2", "--threads", "1")
    code, _, err = run(capsys, "pretrain", "further", "--resume", runs / "run", *same)
    assert code == 0, err
    assert "--recipe tiny: the run has further" in fails(capsys, "pretrain", "tiny", "--resume", runs / "run")


def test_a_config_from_python_is_held_to_the_same(runs: Path) -> None:
    with pytest.raises(UserError, match="--seed 3: the run has 7; a run keeps its settings"):
        pretrain(PretrainConfig(resume=runs / "run", seed=3))
    assert pretrain(PretrainConfig(resume=runs / "run")).steps == 2
    with pytest.raises(UserError, match="--allow-changes: has no part without --resume"):
        PretrainConfig(allow_changes=True)


def change_recipe(folder: Path) -> None:
    path = folder / "recipe.toml"
    path.write_text(path.read_text(encoding="utf-8").replace("keep_checkpoints = ", "keep_checkpoints = 1"))


@pytest.mark.parametrize("name", ["run", "taught"])
def test_an_edited_recipe_is_refused_and_once_allowed_recorded(
    name: str, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    verb = ("pretrain",) if name == "run" else ("finetune", "instruct")
    folder = runs / name
    began = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    change_recipe(folder)
    line = fails(capsys, *verb, "--resume", folder)
    assert "recipe.toml has changed since the run began; put the old one back; or go on" in line
    code, _, err = run(capsys, *verb, "--resume", folder, "--allow-changes")
    assert code == 0, err
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert [each["changed"] for each in manifest["changes"]] == [["recipe.toml"]]
    assert manifest["recipe_hash"] == sha256_of(folder / "recipe.toml") != began["recipe_hash"]
    assert run(capsys, *verb, "--resume", folder)[0] == 0  # what was allowed is not asked again


def test_a_setting_of_the_model_that_changes_no_tensor_may_be_allowed_too(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = runs / "run" / "recipe.toml"
    path.write_text(path.read_text(encoding="utf-8").replace("dropout = 0.0", "dropout = 0.1"), encoding="utf-8")
    assert "recipe.toml has changed" in fails(capsys, "pretrain", "--resume", runs / "run")
    code, _, err = run(capsys, "pretrain", "--resume", runs / "run", "--allow-changes")
    assert code == 0, err


def test_other_threads_are_refused_and_once_allowed_recorded(
    runs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scratchlm.base.device.os.cpu_count", lambda: 2)
    line = fails(capsys, "pretrain", "--resume", runs / "run", "--threads", "2")
    assert "--threads: the run began with 1 and would go on with 2" in line
    code, _, err = run(capsys, "pretrain", "--resume", runs / "run", "--threads", "2", "--allow-changes")
    assert code == 0, err
    manifest = json.loads((runs / "run" / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["threads"] == 2
    assert manifest["changes"][0]["changed"] == ["--threads 1 to 2"]


@pytest.mark.parametrize("name", ["run", "taught"])
def test_a_smaller_micro_batch_is_taken_and_recorded_and_no_larger_one(
    name: str, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    verb = ("pretrain",) if name == "run" else ("finetune", "instruct")
    last = runs / name / "checkpoints" / "00000002"
    shutil.rmtree(last if name == "run" else runs / name / "checkpoints")  # so that there is something left to train
    code, _, err = run(capsys, *verb, "--resume", runs / name, "--training.micro-batch-size", "2")
    assert code == 0, err
    manifest = json.loads((runs / name / "manifest.json").read_text(encoding="utf-8"))
    assert [each["changed"] for each in manifest["changes"]] == [["training.micro_batch_size none to 2"]]
    assert manifest["recipe_hash"] == sha256_of(runs / name / "recipe.toml")
    state = max((runs / name / "checkpoints").iterdir()) / "training.json"
    assert json.loads(state.read_text(encoding="utf-8"))["micro_batch_size"] == 2
    with pytest.raises(UserError, match=r"--training\.micro-batch-size 8: the run has 4"):
        refuse_flags(
            PretrainConfig(resume=runs / "run", training=TrainingConfig(micro_batch_size=8)),
            PretrainConfig(resume=runs / "run", training=TrainingConfig(micro_batch_size=4)),
            PretrainConfig(),
        )


def test_changed_inputs_are_all_named(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(runs / "base")
    save_base(runs / "base", seed=5)
    (runs / "more" / "b.txt").write_text("more")
    (runs / "rows.jsonl").write_text((runs / "rows.jsonl").read_text() + '{"prompt": "a", "completion": "b"}\n')
    line = fails(capsys, "finetune", "instruct", "--resume", runs / "taught")
    for flag in ("--init", "--data", "--rehearse"):
        assert f"{flag} has changed since the run began" in line
    assert "--init has changed since the run began" in fails(capsys, "pretrain", "--resume", runs / "run")


def test_inputs_that_were_moved_are_named_and_compared(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (runs / "base").rename(runs / "moved")
    assert "name where it lies now with --init" in fails(capsys, "pretrain", "--resume", runs / "run")
    save_base(runs / "other", seed=5)
    other = fails(capsys, "pretrain", "--resume", runs / "run", "--init", runs / "other")
    assert "--init has changed since the run began" in other
    code, _, err = run(capsys, "pretrain", "--resume", runs / "run", "--init", runs / "moved")
    assert code == 0, err


def test_a_run_of_a_later_format_is_refused(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = runs / "run" / "recipe.toml"
    path.write_text(path.read_text(encoding="utf-8").replace("format = 2", "format = 3"), encoding="utf-8")
    assert "its format is 3, and this version reads 2; update scratchlm" in fails(
        capsys, "pretrain", "--resume", runs / "run", "--allow-changes"
    )


@pytest.mark.parametrize("change", ["model", "tokenizer", "a later format"])
def test_a_checkpoint_that_is_not_the_runs_own_is_refused(
    change: str, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    last = runs / "run" / "checkpoints" / "00000002"
    tokenizer, shape = byte_tokenizer(), toy_config("default", vocabulary_size=BYTE_VOCABULARY, context=80)
    if change == "model":
        shape = dataclasses.replace(shape, layers=1, width=64)
    if change == "tokenizer":
        tokenizer = ReadableBPE(trained_vocabulary([], GPT2, DEFAULT_SPECIALS))
    state = json.loads((last / "training.json").read_text(encoding="utf-8"))
    shutil.rmtree(last)
    save_checkpoint(last, SavedModel(random_decoder(shape), tokenizer), {}, state)
    if change == "a later format":
        config = json.loads((last / "config.json").read_text(encoding="utf-8"))
        (last / "config.json").write_text(json.dumps({**config, "format": 9}), encoding="utf-8")
        (last / "files.json").unlink()
        write_hashes(last)
    told = {
        "model": "is a checkpoint of another model (other: embedding.weight, ",
        "tokenizer": "is a checkpoint of another model (other: its tokenizer); put back the run's own",
        "a later format": "format 9 is newer than 2, which this version reads; update",
    }
    line = fails(capsys, "pretrain", "--resume", runs / "run")
    assert told[change] in line
    assert "removing" not in line  # which is for one that is damaged
