"""What commands write names no folder of this machine, and works where all of it was moved to."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from commands import fails, files_that_name, run
from scratchlm.base.files import sha256_of
from scratchlm.base.paths import found_path, stored_path
from scratchlm.tokens.chat import ChatTemplate
from scratchlm.weights.checkpoint import SavedModel, load_model, save_model
from toys import BYTE_VOCABULARY, byte_tokenizer, random_decoder, toy_config

QUICK = ("--epochs", "4", "--dtype", "fp32", "--threads", "1")
COLOURS = ("red", "green", "blue", "grey")


def model_folder(path: Path) -> Path:
    config = toy_config("default", vocabulary_size=BYTE_VOCABULARY)
    tokenizer = byte_tokenizer()
    save_model(path, SavedModel(random_decoder(config), tokenizer, ChatTemplate(tokenizer)))
    return path


def table(path: Path) -> Path:
    rows = [f"{number} {COLOURS[number % 4]},{'odd' if number % 2 else 'even'}" for number in range(60)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("text,label\n" + "\n".join(rows) + "\n")
    return path


def done(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    code, out, err = run(capsys, *arguments)
    assert code == 0, err
    return out


@pytest.fixture
def begun(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A folder with a base, a table, and a run with an adapter, all named by absolute paths."""
    home = tmp_path / "home"
    base, data = model_folder(home / "base"), table(home / "data" / "rows.csv")
    done(capsys, "finetune", "classify", "--init", base, "--data", data, "--out", home / "run", "--lora", *QUICK)
    return home


def test_a_run_with_an_adapter_goes_on_where_all_was_moved_to(
    begun: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert files_that_name(tmp_path, begun) == []
    told = json.loads((begun / "run" / "model" / "config.json").read_text())
    assert told["base"]["path"] == "../../base"
    first = done(capsys, "classify", begun / "run", "7 grey")
    moved = begun.rename(tmp_path / "elsewhere")
    monkeypatch.chdir(moved / "data")
    assert done(capsys, "classify", moved / "run", "7 grey") == first
    done(capsys, "finetune", "classify", "--resume", moved / "run")
    monkeypatch.chdir(moved)
    done(capsys, "finetune", "classify", "--resume", "run")
    done(capsys, "export", "run", "--to", "peft", "--out", "peft")
    assert json.loads((moved / "peft" / "adapter_config.json").read_text())["base_model_name_or_path"] == "../base"
    assert files_that_name(tmp_path, moved) == []


def test_where_the_base_alone_was_moved_the_error_tells_how_to_say_so(
    begun: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # a checkout may lie beside a folder `base`, where earlier versions would have looked
    asked = ("7 grey", "--use", "network")  # the linear model answers without the base
    first = done(capsys, "classify", begun / "run", *asked)
    base = (begun / "base").rename(tmp_path / "models")
    line = fails(capsys, "classify", begun / "run", *asked)
    assert "is missing; restore it" in line
    told = line.partition("scratchlm import ")[2].replace("PLACE", str(base)).replace("NEW", str(tmp_path / "new"))
    done(capsys, "import", *told.split())
    assert done(capsys, "classify", tmp_path / "new", *asked) == first
    assert "name where it lies now with --init" in fails(capsys, "finetune", "classify", "--resume", begun / "run")
    done(capsys, "finetune", "classify", "--resume", begun / "run", "--init", base)
    wrong = table(tmp_path / "wrong.csv")
    wrong.write_text(wrong.read_text() + "more,odd\n")
    line = fails(capsys, "finetune", "classify", "--resume", begun / "run", "--init", base, "--data", wrong)
    assert "--data has changed since the run began" in line


def test_folders_with_absolute_paths_are_read_too(
    begun: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = done(capsys, "classify", begun / "run", "7 grey")
    settings = begun / "run" / "recipe.toml"
    text = settings.read_text()
    for name in ("base", "data/rows.csv"):
        assert f'"../{name}"' in text
        text = text.replace(f'"../{name}"', json.dumps(str(begun / name)))
    settings.write_text(text)
    manifest = json.loads((begun / "run" / "manifest.json").read_text())
    manifest["recipe_hash"] = sha256_of(settings)
    (begun / "run" / "manifest.json").write_text(json.dumps(manifest))
    folder = begun / "run" / "model"
    before = load_model(folder)
    config = json.loads((folder / "config.json").read_text())
    config["base"]["path"] = str(begun / "base")
    save_model(folder, before)
    (folder / "config.json").write_text(json.dumps(config))
    hashes = json.loads((folder / "files.json").read_text())
    hashes["config.json"] = sha256_of(folder / "config.json")
    (folder / "files.json").write_text(json.dumps(hashes))
    monkeypatch.chdir(begun.parent)
    assert done(capsys, "classify", begun / "run", "7 grey") == first
    done(capsys, "finetune", "classify", "--resume", begun / "run")


def test_pretraining_prepared_data_and_exports_name_no_folder_of_this_machine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    text = home / "text"
    text.mkdir(parents=True)
    (text / "days.txt").write_text(
        "".join(f"On day {day} the miller slept {day * day} hours.\n\n" for day in range(400))
    )
    done(capsys, "prepare", text, "--out", home / "data", "--vocabulary-size", "270", "--split-on", "\n\n")
    report = json.loads((home / "data" / "prepare.json").read_text())
    assert report["sources"][0]["name"] == "text"
    assert report["sources"][0]["files"][0]["path"] == "text/days.txt"
    (home / "own.toml").write_text(
        "[model]\nlayers = 1\nwidth = 64\n[model.attention]\nheads = 2\nkv_heads = 2\nhead_dim = 32\n"
    )
    flags = ("--training.steps", "2", "--training.batch-size", "2", "--training.sequence-length", "32",
             "--dtype", "fp32", "--training.no-compile", "--threads", "1")  # fmt: skip
    done(capsys, "pretrain", home / "own.toml", "--data", home / "data", "--out", home / "run", *flags)
    for form in ("hf", "gguf", "html"):
        done(capsys, "export", home / "run", "--to", form, "--out", home / form)
    done(capsys, "pretrain", "further", "--init", home / "run", "--data", home / "data", "--out", home / "on", *flags)
    assert files_that_name(tmp_path, home) == []
    moved = home.rename(tmp_path / "elsewhere")
    monkeypatch.chdir(moved / "text")
    for run_folder in ("run", "on"):
        done(capsys, "pretrain", "--resume", moved / run_folder)


def test_stored_paths_are_found_from_the_folder_whatever_the_current_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_folder, data = tmp_path / "a" / "run", tmp_path / "b" / "data"
    for folder in (run_folder, data):
        folder.mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "b")
    assert stored_path(Path("data"), run_folder) == "../../b/data"
    assert stored_path(run_folder / "model", run_folder) == "./model"
    monkeypatch.chdir("/")
    assert found_path("../../b/data", run_folder) == data
    assert found_path(str(data), run_folder) == data
    assert found_path("a-name", run_folder) == Path("a-name")
    link = tmp_path / "deep" / "er" / "link"
    link.parent.mkdir(parents=True)
    link.symlink_to(run_folder)
    assert found_path(stored_path(data, link), link) == data
    shutil.rmtree(data)
    assert found_path("../../b/data", run_folder) == data  # so that an error names the place
    monkeypatch.chdir(run_folder)
    (tmp_path / "b" / "data").mkdir()
    monkeypatch.chdir(tmp_path / "b" / "data")
    (tmp_path / "b" / "old").mkdir()
    assert found_path("../old", tmp_path / "a" / "run").resolve() == tmp_path / "b" / "old"


@pytest.mark.parametrize("kind", ["instruct", "prefer"])
def test_other_fine_tunings_name_no_folder_of_this_machine(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        {"prompt": f"{n} up", "completion": "down"}
        if kind == "instruct"
        else {"prompt": f"{n}", "chosen": "a", "rejected": "b"}
        for n in range(40)
    ]
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    place = ("--init", model_folder(tmp_path / "base"), "--data", data, "--out", tmp_path / "run")
    split = ("--split", "hash:0.1")  # rewordings would not fit the short rows
    done(capsys, "finetune", kind, *place, "--lora", *QUICK, *split, "--epochs", "1")
    assert files_that_name(tmp_path, tmp_path / "run") == []


@pytest.mark.slow
def test_a_quickstart_names_no_folder_of_this_machine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = tmp_path / "days.txt"
    text.write_text("".join(f"On day {day} the miller slept {day * day} hours.\n\n" for day in range(4000)))
    done(capsys, "quickstart", "--source", text, "--out", tmp_path / "out", "--minutes", "0.2", "--no-chat")
    assert json.loads((tmp_path / "out" / "quickstart.json").read_text())["source"] == "days.txt"
    assert files_that_name(tmp_path, tmp_path / "out") == []
