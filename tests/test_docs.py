"""What README.md and the pages of docs/ show is true: links lead somewhere, flags exist, commands run, numbers hold."""

from __future__ import annotations

import ast
import dataclasses
import importlib.util
import inspect
import io
import json
import random
import re
import shlex
import shutil
import sys
import textwrap
import tomllib
from collections.abc import Iterator, Mapping
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest

import scratchlm as slm
import transfer
from commands import run
from scratchlm.base.errors import UserError
from scratchlm.cli import first_words
from scratchlm.command import Command
from scratchlm.commands import COMMANDS, FUNCTIONS, experiment_command
from scratchlm.compiled.decoder import unsupported
from scratchlm.config.flags import SHORT
from scratchlm.lab.catalogue import EXPERIMENTS
from scratchlm.lab.quiz.cards import built_in
from scratchlm.model import minimal
from scratchlm.model.decoder import initialise
from scratchlm.pretraining.depth_scaling import is_published
from scratchlm.weights.checkpoint import save_model

ROOT = Path(__file__).resolve().parent.parent
GUIDES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES = [*GUIDES, ROOT / "CONTRIBUTING.md", ROOT / "ARCHITECTURE.md"]
TOOLS = ("pytest", "ruff", "mypy", "lint-imports", "pip", "zipfile", "venv", "bash", "source")
"""Programs whose arguments are their own matter."""


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def blocks(text: str, language: str) -> list[str]:
    """Return the fenced blocks of a language, those of a list's items too."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```$", text, flags=re.MULTILINE | re.DOTALL)
    return [textwrap.dedent(body) for _, body in found]


def lines_of(text: str) -> Iterator[list[str]]:
    """Yield the words of each command of a page: lines of sh, and lines after a prompt among output."""
    shown = [line for block in blocks(text, "sh") for line in block.splitlines()]
    told = [line[2:] for block in blocks(text, "text") for line in block.splitlines() if line.startswith("$ ")]
    for line in shown + told:
        for part in line.split(" && "):
            words = shlex.split(part, comments=True)
            while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
                words = words[1:]
            if words and words[0] == "torchrun":  # starts several processes of a command of ours
                words = words[words.index("scratchlm") :]
            if words[:2] == ["python", "launch/on_ray.py"]:  # so does this
                words = ["scratchlm", *words[3:]]
            if words:
                yield [words[0].removeprefix(".venv/bin/"), *words[1:]]


def in_order(text: str) -> Iterator[tuple[str, Any]]:
    """Yield the commands and the Python of a page as they follow each other."""
    for language, body in re.findall(r"^```(\w+)\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL):
        if language == "python":
            yield language, body
        for words in lines_of(f"```{language}\n{body}```\n"):
            yield "command", words


def command_of(words: list[str]) -> tuple[Command | None, list[str]]:
    """Return a command of ours and its arguments; None where it only lists experiments."""
    if words[0] == "experiment":
        return (experiment_command(words[1]), words[2:]) if words[1] in EXPERIMENTS else (None, words[1:])
    for length in (2, 1):
        if " ".join(words[:length]) in COMMANDS:
            return COMMANDS[" ".join(words[:length])], words[length:]
    raise AssertionError(f"no such command: {' '.join(words)}")


@dataclasses.dataclass(frozen=True)
class Based(Command):
    """A command with other values where nothing is given, so that its recipe, model or run need not be there."""

    values: Any = None

    def base(self, given: Mapping[str, Any]) -> Any:
        return self.values


def parsed(words: list[str]) -> Any:
    """Return the config of a command of ours, whose model or run need not be there."""
    command, arguments = command_of(words)
    if command is None:
        assert arguments == ["--list"]
        return None
    if command.program in ("generate", "chat") or "--resume" in arguments:
        command = Based(**vars(command))
    if any(word.endswith(".toml") for word in arguments):  # a recipe that a line before would write
        command = Based(**vars(command), values=command.config()(init=Path("smollm2"), data=Path("faq.csv")))
    return command.from_arguments(arguments)


def check_program(words: list[str]) -> None:
    """Check a command that is not ours: its file exists, and so do the extras and flags that it names."""
    program, arguments = words[0], words[1:]
    if program in ("python", "python3"):
        target = arguments[1] if arguments[0] == "-m" else arguments[0]
        arguments = arguments[2 if arguments[0] == "-m" else 1 :]
        program = target if target in TOOLS else "python"
    if program == "python":
        places = [ROOT / target, *(base / target.replace(".", "/") for base in (ROOT, ROOT / "src"))]
        files = [file for place in places for file in (place, place.with_suffix(".py"), place / "__main__.py")]
        code = "".join(file.read_text(encoding="utf-8") for file in files if file.is_file())
        assert code, f"{target}: no such file or module"
        assert [flag for flag in arguments if flag.startswith("--") and flag not in code] == []
    elif program in ("marimo", "jupyter"):
        notebooks = [word for word in arguments if word.endswith((".py", ".ipynb"))]
        assert notebooks
        assert [word for word in notebooks if not (ROOT / word).is_file()] == []
    elif program == "pip":
        extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
            "optional-dependencies"
        ]
        assert {each for word in arguments for each in re.findall(r"^\.\[(\w+)\]$", word)} <= set(extras)
    else:
        assert program in TOOLS, f"unknown program: {' '.join(words)}"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_command_line_of_a_page_is_one_that_the_command_takes(page: Path) -> None:
    problems = []
    for words in lines_of(page.read_text(encoding="utf-8")):
        try:
            parsed(words[1:]) if words[0] == "scratchlm" else check_program(words)
        except (SystemExit, UserError, AssertionError) as error:
            problems.append(f"{' '.join(words)}: {error}")
    assert problems == []


def test_the_check_of_command_lines_finds_what_is_wrong() -> None:
    block = "```sh\nscratchlm quikstart\nscratchlm plan --deph 3  # a comment\n```\n"
    found = list(lines_of(block + "```text\n$ X=1 .venv/bin/pip install y && scratchlm quiz\nscratchlm no\n```\n"))
    assert found == [
        ["scratchlm", "quikstart"],
        ["scratchlm", "plan", "--deph", "3"],
        ["pip", "install", "y"],
        ["scratchlm", "quiz"],
    ]
    for words in found[:2]:
        with pytest.raises((SystemExit, AssertionError)):
            parsed(words[1:])
    for words in (
        ["python", "-m", "bench.nothing"],
        ["python", "-m", "bench.learning", "--nope"],
        ["marimo", "edit", "x"],
    ):
        with pytest.raises(AssertionError):
            check_program(words)


def misfit(call: ast.Call) -> str | None:
    """Return why a call of `slm.NAME` has arguments that it does not take; None where it takes them."""
    takes = inspect.signature(attrgetter(ast.unparse(call.func).removeprefix("slm."))(slm))
    try:
        takes.bind(*call.args, **{each.arg: each for each in call.keywords if each.arg})
    except TypeError as error:
        return f"{ast.unparse(call)}: {error}"
    return None


def test_the_check_of_python_calls_finds_what_is_wrong() -> None:
    for code in (
        "slm.finetune_reinforce(init='m', out='o', answers=4)",
        "slm.quickstart('stories')",
        "slm.load()",
        "slm.TrainingConfig(stepps=20)",
    ):
        assert misfit(ast.parse(code).body[0].value) is not None, code  # type: ignore[attr-defined]
    good = ast.parse("slm.pretrain('tiny', data='d', out='o', overrides={})").body[0]
    assert misfit(good.value) is None  # type: ignore[attr-defined]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_python_block_of_a_page_calls_what_there_is(page: Path) -> None:
    for block in blocks(page.read_text(encoding="utf-8"), "python"):
        tree = ast.parse(block)
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "slm":
                assert node.attr in slm.__all__, node.attr
            if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("slm."):
                assert misfit(node) is None
            if isinstance(node, ast.ImportFrom):
                module = importlib.import_module(str(node.module))
                assert [each.name for each in node.names if not hasattr(module, each.name)] == []


@pytest.fixture(scope="module")
def flags() -> set[str]:
    """Every flag of every command, as its help shows them."""
    found = {"--help", "--help-all", "--list", "--version", *(f"--{word}" for word in SHORT), "--steps"}
    for words in [*(program.split() for program in COMMANDS), *(["experiment", each] for each in EXPERIMENTS)]:
        command, _ = command_of(words)
        assert command is not None
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "stdout", shown := io.StringIO())
            with pytest.raises(SystemExit):
                command.from_arguments(["--help-all"])
        found |= set(re.findall(r"--[a-z][a-z0-9.-]*", shown.getvalue()))
    return found


@pytest.mark.parametrize("page", GUIDES, ids=name)
def test_every_flag_and_command_that_a_page_names_exists(page: Path, flags: set[str]) -> None:
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S))
    ours = [span for span in spans if span.startswith(("scratchlm ", "--")) and "pip install" not in span]
    assert [flag for span in ours for flag in re.findall(r"(?<!\S)--[a-z][\w.-]*", span) if flag not in flags] == []
    named = [span.split()[1] for span in ours if span.startswith("scratchlm ") and not span.startswith("scratchlm --")]
    assert [command for command in named if command not in first_words()] == []


def test_the_pages_together_show_every_command() -> None:
    shown = {tuple(words[1:3]) for page in GUIDES for words in lines_of(page.read_text(encoding="utf-8"))}
    used = {program for program in COMMANDS if any(" ".join(words).startswith(program) for words in shown)}
    assert sorted(COMMANDS.keys() - used) == []


def test_docs_lists_all_its_pages() -> None:
    text = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    assert [page.name for page in GUIDES if page.parent.name == "docs" and page.name not in text] == []


def test_the_readme_is_short() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.split()) < 1000


def anchors(text: str) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    heads = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_to_files_and_headings_that_exist(page: Path) -> None:
    broken = []
    for target in re.findall(r"\]\((?!https?://)([^)\s]+)\)", page.read_text(encoding="utf-8")):
        place, _, anchor = target.partition("#")
        file = (page.parent / place) if place else page
        if not file.exists() or (anchor and anchor not in anchors(file.read_text(encoding="utf-8"))):
            broken.append(target)
    assert broken == []


def test_the_readme_counts_cards_and_experiments_rightly() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"{len(built_in())} cards" in text
    assert f"{len(EXPERIMENTS)} experiments" in text


def test_the_speeds_of_the_readme_are_those_of_the_benchmarks() -> None:
    text = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())

    def result(place: str) -> dict[str, Any]:
        return json.loads((ROOT / "bench" / "results" / place).read_text(encoding="utf-8"))

    def ratios(file: str) -> tuple[str, str]:
        of = {name: each["written_per_second"]["median"] for name, each in result(file)["contenders"].items()}
        eight, four = (of[f"scratchlm, {form}"] / of["llama.cpp, Q4_1"] for form in ("int8", "int4"))
        return f"{eight:.1f}", f"{four:.1f}"

    wide, narrow = (ratios(f"serving/decoding-integers-{kind}.json") for kind in ("vnni", "avx2"))
    assert f"int4 {wide[1]} times as fast with AVX-512 VNNI, {narrow[1]} with AVX2 alone" in text
    assert f"int8 {wide[0]} and {narrow[0]} " in text
    speeds = result("learning/throughput.json")["tokens_per_second"]
    ours, transformers, litgpt = (round(speeds[who]) for who in ("ours", "transformers", "litgpt"))
    assert f"{ours} tokens/s, transformers {transformers}, litgpt {litgpt} " in text
    medians = result("learning/shakespeare.json")["medians"]
    ours, peer = medians["characters-quick"], medians["nanoGPT's recipe in transformers"]
    assert f"{ours['loss']:.3f} nats after {ours['seconds']:.1f} s; " in text
    assert f"recipe {peer['loss']:.3f} after {peer['seconds']:.0f} s" in text
    every = result("finetuning/adapters.json")["contenders"]
    lora, peft = (every[f"{who}, bf16"]["tokens_per_second"]["median"] for who in ("scratchlm", "PEFT on transformers"))
    assert f"{lora:.0f} tokens/s, PEFT {peft:.0f} " in text
    page = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    xeon = re.search(r"(\d+ to \d+) tokens/s in Q4_1\. There int8 writes (\d+ to \d+) tokens/s, ([\d.]+) times", page)
    assert xeon is not None
    ratio = xeon.groups()[2]
    assert f"On an Intel Xeon an earlier decoder had {ratio} times " in text


def test_the_norm_that_contributing_adds_is_one() -> None:
    from scratchlm.model import config, norms

    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    code = blocks(text, "python")
    assert len(code) == 3
    names = {**vars(config), **vars(norms)}
    for block in code:
        exec(
            compile(f"from __future__ import annotations\n{block}", "CONTRIBUTING.md", "exec", dont_inherit=True), names
        )
    names["test_scale_norm_equals_the_papers_formula"]()
    decoder = transfer.model().decoder
    decoder.final_norm = names["ScaleNorm"](decoder.config.width, names["ScaleNormConfig"]())
    initialise(decoder, 0)
    assert decoder.final_norm.weight.item() == pytest.approx(decoder.config.width**0.5)
    object.__setattr__(decoder.config, "norm", names["ScaleNormConfig"]())  # which the union here does not have
    assert unsupported(decoder) == "another norm than RMS norm and layer norm"
    recipe = tomllib.loads(blocks(text, "toml")[0])
    assert recipe["model"]["norm"]["type"] == names["ScaleNormConfig"].type


# The slow half: the lines of a page, one after the other, on toy data. Those of training.md, whose flags matter more,
# run as they are written, in training/test_page.py.

SMALL_TRAINING = ["--training.steps", "2", "--training.batch-size", "2", "--training.sequence-length", "16"]
SMALL = {
    "finetune classify": {"--epochs": "1"},
    "finetune instruct": {"--steps": "2", "--scored": "2", "--reply-tokens": "4"},
    "finetune prefer": {"--epochs": "1"},
    "evaluate": {"--limit": "3", "--answer-tokens": "4"},
    "learn train": {"--steps": "2"},
}
"""What is put in the place of longer work."""
ONLY_PARSED = ("doctor", "quickstart", "timelapse", "finetune reinforce", "import", "serve")


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every file that the pages name, and toy models in the place of those that they begin with."""
    folder, draw = tmp_path_factory.mktemp("toys"), random.Random(0)
    words = ["".join(draw.choices("etaoinshrdlu", k=draw.randint(3, 8))) for _ in range(4000)]
    said = [" ".join(draw.choices(words, k=9)).capitalize() + "." for _ in range(3000)]
    texts = [" ".join(said[i : i + 10]) for i in range(0, 3000, 10)]
    rows = {
        "books": [{"text": text} for text in texts],
        "conversations": [{"prompt": f"Say {word}", "completion": word} for word in words[:24]],
        "preferences": [{"prompt": f"Say {word}", "chosen": word, "rejected": "no"} for word in words[:40]],
        "reviews": [{"text": text, "label": "ab"[i % 2]} for i, text in enumerate(texts[:40])],
        "arc": [{"query": f"{word}?", "choices": [word, "no"], "gold": 0} for word in words[:6]],
        "questions": [{"query": f"{word}?", "choices": [word, "no"], "gold": 1} for word in words[:6]],
    }
    for file, each in rows.items():
        (folder / f"{file}.jsonl").write_text("\n".join(map(json.dumps, each)), encoding="utf-8")
    spam = [
        f"{'free prize' if i % 2 else 'see you'} {word},{'spam' if i % 2 else 'ham'}" for i, word in enumerate(words)
    ]
    faq = [f"Where is {word}?,{word} is here." for word in words[:12]]
    (folder / "faq.csv").write_text("\n".join(["question,answer", *faq]), encoding="utf-8")
    (folder / "spam.csv").write_text("\n".join(["text,label", *spam[:60]]), encoding="utf-8")
    for file in ("notes.txt", "tinyshakespeare.txt"):
        (folder / file).write_text("\n\n".join(texts[:40]), encoding="utf-8")
    model = transfer.model()
    (folder / "fox.json").write_text('{"type": "object", "properties": {"age": {"type": "integer"}}}', encoding="utf-8")
    for place in ("smollm2", "quickstart/model", "rewarded", "large", "small"):
        save_model(folder / place, model)
    return folder


def given(arguments: list[str]) -> dict[str, str | None]:
    """Return the flags of a line by their fields' dotted names, each with the word that follows, or None."""
    pairs = [pair for pair in zip(arguments, [*arguments[1:], "--"], strict=False) if pair[0].startswith("--")]
    return {flag[2:].replace("-", "_"): None if word.startswith("--") else word for flag, word in pairs}


def out_of(arguments: list[str]) -> Path | None:
    out = given(arguments).get("out")
    return Path(out) if out else None


def counted(arguments: list[str]) -> bool:
    """Return whether a plan is only counted: of a published model, or without timing steps."""
    return "--no-probe" in arguments or is_published(arguments[0])


def shortened(command: Command, arguments: list[str]) -> list[str] | None:
    """Return the arguments of a line that takes seconds in its place; None where it is only parsed."""
    said = given(arguments)
    if command.program == "pretrain" and "resume" not in said:
        kept = [word for name in ("init", "data", "out") if (value := said.get(name)) for word in (f"--{name}", value)]
        return ["further" if "init" in said else "tiny", *kept, *SMALL_TRAINING, "--dtype", "fp32"]
    if command.program in ONLY_PARSED or command.program.startswith("experiment"):
        return None
    if (command.program == "quiz" and not {"count", "anki"} & set(said)) or (
        command.program == "plan" and not counted(arguments)
    ):
        return None
    small = SMALL.get(command.program, {}) if command.program != "evaluate" or "task" in said else {}
    if "steps" in said and "--steps" in small:
        arguments = [*arguments]
        arguments[arguments.index("--steps") + 1] = small["--steps"]
    more = [word for flag, value in small.items() if flag[2:].replace("-", "_") not in said for word in (flag, value)]
    return [re.sub(r"^storyworld:.*", "storyworld:60KB", word) for word in arguments] + more


def follow(words: list[str], toys: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Run a command of ours in small, or put a toy where it would write."""
    command, arguments = command_of(words)
    if command is None:
        assert run(capsys, *words)[0] == 0
        return
    parsed(words)
    less = shortened(command, arguments)
    out = out_of(arguments)
    if out is not None and out.exists() and out.is_dir():
        shutil.rmtree(out)
    if command.program == "learn train":  # the reader has solved all exercises by then
        shutil.copyfile(minimal.__file__, "gpt.py")
    if less is not None:
        program = command.program.split()
        code, _, err = run(capsys, *program, *less)
        assert code == 0, f"{' '.join(program + less)}: {err}"
    elif out is not None:
        shutil.copytree(toys / "smollm2", out / "model" if command.program == "quickstart" else out)


def stub(function: str, toys: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Return what takes the place of a function that takes long: it checks its arguments and puts a toy there."""

    def call(*positional: Any, overrides: Any = None, **named: Any) -> str:
        settings = {key: value for key, value in named.items() if key not in FUNCTIONS[function].objects}
        config = FUNCTIONS[function].from_call(positional, settings, overrides)
        if function == "pretrain":
            corpora = [word for corpus in config.data for word in ("--data", str(corpus))]
            follow(["pretrain", *corpora, "--out", str(config.out)], toys, capsys)
        return function

    return call


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in GUIDES if page.name != "training.md"], ids=name)
def test_the_lines_of_a_page_run_one_after_the_other_on_toy_data(
    page: Path, toys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(toys, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    for function in ("quickstart", "pretrain", "plan"):
        monkeypatch.setattr(slm, function, stub(function, toys, capsys), raising=False)
    if page.name in ("evaluation.md", "finetuning.md", "own-model.md"):  # they begin with what other pages have made
        follow(["prepare", "books.jsonl", "--out", "data"], toys, capsys)
    if page.name in ("evaluation.md", "finetuning.md"):
        follow(["pretrain", "--data", "data", "--out", "run"], toys, capsys)
        follow(["finetune", "classify", "--init", "smollm2", "--data", "spam.csv", "--out", "spam"], toys, capsys)
    if page.name == "python.md":
        talk = ["--init", "smollm2", "--data", "conversations.jsonl", "--out", "talk", "--lora"]
        follow(["finetune", "instruct", *talk], toys, capsys)
    names: dict[str, Any] = {}
    for kind, what in in_order(page.read_text(encoding="utf-8")):
        if kind == "python":
            exec(compile(what, name(page), "exec", dont_inherit=True), names)
        elif what[0] == "scratchlm":
            follow(what[1:], toys, capsys)
