"""The real command with wrong input: one clear line on stderr, nothing on stdout, nothing lost."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from commands import fails, run
from scratchlm.classic.ngram_fast import KneserNey
from scratchlm.cli import first_words, main
from scratchlm.data.prepared import open_data
from scratchlm.weights.checkpoint import find_model, load_model, save_model

STORY = "The old miller walked to the river. He saw a boat, and in the boat sat a small grey cat. "


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared corpus and a tiny run on it, made by the commands."""
    folder = tmp_path_factory.mktemp("workshop")
    text = "\n\n".join(
        f"{STORY}It was day {day}, and the cat said {day * 7} words about the mill." for day in range(400)
    )
    (folder / "stories.txt").write_text(text, encoding="utf-8")
    main(
        [
            "prepare",
            str(folder / "stories.txt"),
            "--out",
            str(folder / "data"),
            "--vocabulary-size",
            "300",
            "--split-on",
            "\\n\\n",
        ]
    )
    main(
        [
            "pretrain",
            "tiny",
            "--data",
            str(folder / "data"),
            "--out",
            str(folder / "run"),
            "--dtype",
            "fp32",
            "--training.steps",
            "12",
            "--training.batch-size",
            "4",
            "--training.sequence-length",
            "32",
            "--training.checkpoint-every",
            "6",
        ]
    )
    return folder


def test_every_verb_answers_help_without_torch() -> None:
    inner = {"tokenizer": ["train"], "finetune": ["classify"]}
    asked = [[command, *inner.get(command, []), "--help"] for command in first_words()]
    code = (
        "import sys; from scratchlm.cli import main\n"
        f"for arguments in {asked!r}:\n"
        "    try: main(arguments)\n"
        "    except SystemExit as stop: assert not stop.code, (arguments, stop.code)\n"
        "    assert 'torch' not in sys.modules, arguments\n"
        "    print('end of', arguments[0])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = done.stdout
    for command in first_words():
        said, _, told = told.partition(f"end of {command}\n")
        assert f"usage: scratchlm {' '.join([command, *inner.get(command, [])])} " in " ".join(said.split())


def test_an_unknown_command_offers_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert "did you mean 'prepare'" in fails(capsys, "prepair", code=2)


def test_an_unknown_flag_offers_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    line = fails(capsys, "prepare", "x", "--out", "y", "--vocabulary-siz", "300", code=2)
    assert "--vocabulary-size" in line


def test_an_unknown_recipe_key_offers_the_nearest(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('preset = "tiny"\n[training]\nstepz = 3\n', encoding="utf-8")
    line = fails(capsys, "pretrain", tmp_path / "mine.toml", "--data", "d", "--out", "o")
    assert "training.stepz" in line
    assert "steps" in line


@pytest.mark.parametrize("minutes", ["0", "-3"])
def test_minutes_must_be_positive(capsys: pytest.CaptureFixture[str], minutes: str) -> None:
    assert "--minutes" in fails(capsys, "quickstart", "--minutes", minutes, code=2)


def test_threads_must_be_positive(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--threads" in fails(capsys, "doctor", "--threads", "0", code=2)


def test_a_missing_file_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "nowhere.txt" in fails(capsys, "prepare", tmp_path / "nowhere.txt", "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_unknown_source_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "storyworld" in fails(capsys, "prepare", "storyworl", "--out", tmp_path / "out")


def test_an_empty_folder_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "empty" in fails(capsys, "prepare", tmp_path / "empty", "--out", tmp_path / "out")


def test_out_that_exists_is_refused(capsys: pytest.CaptureFixture[str], workshop: Path) -> None:
    before = sorted((workshop / "data").iterdir())
    assert "--force" in fails(capsys, "prepare", workshop / "stories.txt", "--out", workshop / "data")
    assert sorted((workshop / "data").iterdir()) == before


def test_out_inside_the_source_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text(STORY * 50, encoding="utf-8")
    assert "inside" in fails(capsys, "prepare", tmp_path / "texts", "--out", tmp_path / "texts" / "out")


@pytest.mark.parametrize(("size", "word"), [("100", "256"), ("50000", "50,000|50000")])
def test_a_vocabulary_out_of_range_is_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, size: str, word: str
) -> None:
    (tmp_path / "a.txt").write_text(STORY, encoding="utf-8")
    line = fails(capsys, "prepare", tmp_path / "a.txt", "--out", tmp_path / "out", "--vocabulary-size", size)
    assert re.search(word, line)
    assert not (tmp_path / "out").exists()


def test_a_broken_line_is_counted_or_fatal(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    rows = [json.dumps({"text": STORY * 20 + str(i)}) for i in range(40)]
    (tmp_path / "a.jsonl").write_text("\n".join([*rows[:7], "{broken", *rows[7:]]), encoding="utf-8")
    arguments = ["prepare", tmp_path / "a.jsonl", "--vocabulary-size", "280", "--out"]
    code, out, _ = run(capsys, *arguments, tmp_path / "out")
    assert code == 0
    assert "dropped 1: broken row" in out
    assert re.search(r"a\.jsonl,\s+line\s+8:", out)
    assert "a.jsonl, line 8: not valid JSON" in fails(capsys, *arguments, tmp_path / "strict", "--strict")


def test_the_fields_are_listed_where_none_is_text(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"left": "one two", "right": "three four"}\n', encoding="utf-8")
    line = fails(capsys, "prepare", tmp_path / "a.jsonl", "--out", tmp_path / "out")
    assert "left" in line
    assert "right" in line


def test_a_corpus_smaller_than_the_context_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(STORY, encoding="utf-8")
    run(
        capsys,
        "prepare",
        tmp_path / "a.txt",
        "--out",
        tmp_path / "d",
        "--vocabulary-size",
        "256",
        "--split",
        "tail:0.5",
    )
    line = fails(capsys, "pretrain", "tiny", "--data", tmp_path / "d", "--out", tmp_path / "r")
    assert "tokens" in line
    assert "sequence_length" in line


def test_a_tokenizer_of_other_data_is_refused(
    capsys: pytest.CaptureFixture[str], workshop: Path, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text("entirely other words " * 300, encoding="utf-8")
    run(capsys, "prepare", tmp_path / "a.txt", "--out", tmp_path / "d", "--vocabulary-size", "260")
    line = fails(capsys, "evaluate", workshop / "run", "--data", tmp_path / "d")
    assert "tokenizer" in line


def test_an_altered_checkpoint_is_refused(capsys: pytest.CaptureFixture[str], workshop: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(workshop / "run", tmp_path / "run")
    weights = max((tmp_path / "run" / "checkpoints").iterdir()) / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    assert "model.safetensors" in fails(capsys, "generate", tmp_path / "run", "The")
    assert "model.safetensors" in fails(capsys, "evaluate", tmp_path / "run", "--data", workshop / "data")


def test_a_folder_without_a_model_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert str(tmp_path) in fails(capsys, "generate", tmp_path, "The")


def test_a_prompt_longer_than_the_context_is_named(capsys: pytest.CaptureFixture[str], workshop: Path) -> None:
    assert "context of 128" in fails(capsys, "generate", workshop / "run", STORY * 40)


def test_special_strings_in_a_prompt_are_text(capsys: pytest.CaptureFixture[str], workshop: Path) -> None:
    code, out, _ = run(capsys, "generate", workshop / "run", "<|endoftext|><|im_end|>", "--max-tokens", "5", "--json")
    assert code == 0
    assert json.loads(out)["prompt"] == "<|endoftext|><|im_end|>"


def test_chat_with_a_model_that_learned_none_continues_and_says_so(
    capsys: pytest.CaptureFixture[str], workshop: Path
) -> None:
    same = ("--max-tokens", "8", "--temperature", "0")
    code, out, err = run(capsys, "chat", workshop / "run", "--message", "The old", *same)
    assert code == 0
    assert "has learned no conversations" in err
    assert out == run(capsys, "generate", workshop / "run", "The old", *same)[1]
    assert "context" in fails(capsys, "chat", workshop / "run", "--message", "cat " * 500)


def test_generate_samples_as_the_model_was_saved_to_unless_told(
    capsys: pytest.CaptureFixture[str], workshop: Path, tmp_path: Path
) -> None:
    saved = load_model(find_model(workshop / "run"))
    saved.generation = {"temperature": 0.0, "max_tokens": 3}
    save_model(tmp_path / "model", saved)

    def written(*flags: str) -> str:
        return run(capsys, "generate", tmp_path / "model", "The old", *flags)[1]

    assert written() == written("--temperature", "0", "--max-tokens", "3")
    assert written("--max-tokens", "9") != written()
    assert written("--max-tokens", "9", "--temperature", "2", "--seed", "4") != written("--max-tokens", "9")


def test_generate_prints_the_completion_alone(capsys: pytest.CaptureFixture[str], workshop: Path) -> None:
    arguments = ["generate", workshop / "run", "The old", "--max-tokens", "8", "--temperature", "0"]
    code, out, err = run(capsys, *arguments)
    assert code == 0
    assert err == ""
    assert not out.startswith("The old")
    assert run(capsys, *arguments)[1] == out


def test_evaluate_divides_by_the_bytes_of_the_text(
    capsys: pytest.CaptureFixture[str], workshop: Path, tmp_path: Path
) -> None:
    text = STORY * 3 + "Ende gut, alles gut: äöü."
    (tmp_path / "t.txt").write_text(text, encoding="utf-8")
    code, out, _ = run(capsys, "evaluate", workshop / "run", "--text", tmp_path / "t.txt", "--json")
    assert code == 0
    assert json.loads(out)["bytes"] == len(text.encode("utf-8"))


def test_evaluate_tells_of_the_model_of_ngrams_and_of_both(capsys: pytest.CaptureFixture[str], workshop: Path) -> None:
    arguments = ["evaluate", workshop / "run", "--data", workshop / "data"]
    alone = json.loads(run(capsys, *arguments, "--json")[1])
    assert "ngram_order" not in alone
    told = json.loads(run(capsys, *arguments, "--ngrams", "6", "--json")[1])
    assert told["loss"] == pytest.approx(alone["loss"], rel=1e-5)
    tokenizer, train, held_out = open_data(workshop / "data")
    begun = [np.append(tokenizer.end_of_text, side.read(0, len(side))) for side in (train, held_out)]
    counted = KneserNey.fit(begun[:1], tokenizer.vocabulary_size, 6).token_log_probabilities(begun[1])[1:]
    assert told["ngrams_loss"] == pytest.approx(-counted.mean()), "not counted in the training side alone"
    assert 0.9 < told["ngram_weight"] < 1, "twelve steps learn less than counting"
    learning = told["tokens"] * (told["interpolated_loss"] - told["ngrams_loss"])  # what it costs to learn the weight
    assert 0 < learning < 100
    assert told["interpolated_bits_per_byte"] < told["bits_per_byte"] / 2
    shown = " ".join(run(capsys, *arguments, "--ngrams", "6")[1].split())
    assert f"interpolated with them: {told['interpolated_bits_per_byte']:.4f}" in shown


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        (["--text", "x.txt", "--ngrams", "5"], "--ngrams: n-grams are counted in the training side of prepared data"),
        (["--data", "d", "--ngrams", "0"], "--ngrams 0: must be at least 1"),
        (["--data", "d", "--ngrams", "99"], "--ngrams 99: must be at most 12"),
    ],
)
def test_wrong_ngrams_are_told_of(capsys: pytest.CaptureFixture[str], flags: list[str], problem: str) -> None:
    assert problem in fails(capsys, "evaluate", "m", *flags, code=2)


def test_a_finished_run_resumes_to_the_same_end(capsys: pytest.CaptureFixture[str], workshop: Path) -> None:
    before = (workshop / "run" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    code, _, err = run(capsys, "pretrain", "--resume", workshop / "run")
    assert code == 0, err
    assert len((workshop / "run" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()) == len(before)


def test_the_recipe_tells_where_each_value_came_from(workshop: Path) -> None:
    recipe = (workshop / "run" / "recipe.toml").read_text(encoding="utf-8")
    assert re.search(r"^steps = 12  # flag$", recipe, re.MULTILINE)
    assert re.search(r"^width = 64  # recipe$", recipe, re.MULTILINE)
    assert re.search(r"^clip = 1.0  # default$", recipe, re.MULTILINE)


@pytest.mark.slow
def test_a_terminal_that_is_not_utf8_shows_question_marks(workshop: Path) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    command = [
        sys.executable,
        "-m",
        "scratchlm",
        "generate",
        str(workshop / "run"),
        "é",
        "--json",
        "--max-tokens",
        "2",
    ]
    done = subprocess.run(command, capture_output=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert b"?" in done.stdout


COMMANDS = [
    *(("tokenizer", each) for each in ("train", "inspect", "compare")),
    *(("finetune", each) for each in ("classify", "instruct", "prefer", "reinforce")),
    ("experiment", "scaling"),
    *((command,) for command in first_words() if command not in ("tokenizer", "finetune", "experiment")),
]
NEEDED = {
    ("tokenizer", "train"): ["SOURCE", "--out"],
    ("tokenizer", "inspect"): ["TOKENIZER"],
    ("tokenizer", "compare"): ["TOKENIZER", "TEXT"],
    ("prepare",): ["SOURCE", "--out"],
    ("pretrain",): ["--data", "--out"],
    ("synthesize",): ["SOURCE", "--out"],
    ("finetune", "classify"): ["--init", "--data", "--out"],
    ("finetune", "instruct"): ["--init", "--data", "--out"],
    ("finetune", "prefer"): ["--init", "--data", "--out"],
    ("finetune", "reinforce"): ["--init", "--out"],
    ("classify",): ["MODEL"],
    ("evaluate",): ["MODEL"],
    ("generate",): ["MODEL"],
    ("chat",): ["MODEL"],
    ("serve",): ["MODEL"],
    ("inspect",): ["MODEL"],
    ("import",): ["SOURCE", "--out"],
    ("export",): ["MODEL", "--out"],
    ("quantize",): ["MODEL", "--out"],
    ("completion",): ["SHELL"],
}


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_the_help_of_a_command_says_what_is_required(command: tuple[str, ...], capsys) -> None:
    code, out, _ = run(capsys, *command, "--help")
    assert code == 0
    entries = re.findall(r"^  (?=\S)(.+?)(?:  |$)(.*(?:\n(?:  )? {4}.*)*)", out, re.MULTILINE)
    names = [re.sub(r" \[.*?\]", "", name).split() for name, says in entries if "(required" in " ".join(says.split())]
    required = [word for words in names for word in words if word not in ("PATH", "DIR", "FILE")]
    assert sorted(required) == sorted(NEEDED.get(command, []))


@pytest.mark.parametrize("command", NEEDED, ids=" ".join)
def test_each_missing_argument_is_named_in_one_line(command: tuple[str, ...], capsys) -> None:
    line = fails(capsys, *command, code=2)
    for name in NEEDED[command]:
        assert (name if name.startswith("--") else name.lower()) in (line if name.startswith("--") else line.lower())
    assert "vocabulary" not in line


def test_one_of_two_arguments_that_is_missing_is_named_alone(capsys) -> None:
    assert fails(capsys, "prepare", "--out", "x", code=2).startswith("scratchlm prepare: SOURCE is missing;")
    assert fails(capsys, "prepare", "x", code=2).startswith("scratchlm prepare: --out is missing;")
    assert "--data" not in fails(capsys, "pretrain", "--data", "x", code=2)
