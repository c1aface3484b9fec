"""Tasks: files of questions with known answers, read into one form.

A task is named with its file, `arc-easy=arc_easy.test.jsonl`. Known layouts are those of the original publications and
of OLMo's evaluation files. A `query` of a row is the prompt as it is; the prompts of other rows are those of the
lm-evaluation-harness, so that scores can be compared.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from scratchlm import storyworld
from scratchlm.base.errors import UserError, nearest, raise_first
from scratchlm.base.files import sha256_of
from scratchlm.text.records import read_records

NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")
Kind = Literal["choices", "last word", "answer", "classes"]


@dataclass(frozen=True)
class TaskItem:
    """One question."""

    id: str
    prompts: tuple[str, ...]
    """The text before each answer: one for all answers, or one for each."""
    answers: tuple[str, ...]
    """The choices; for a written answer, the right one alone."""
    gold: int = 0
    """Index of the right answer."""
    cluster: str = ""
    """What dependent items have in common, such as a passage or a pair; empty: the item is independent."""
    set: str = ""
    """The set of the item, where the task's score is a mean over sets."""
    worked: str = ""
    """The right answer as a few-shot example shows it, where that is longer."""

    @property
    def prompt(self) -> str:
        """The text before the right answer."""
        return self.prompts[min(self.gold, len(self.prompts) - 1)]

    @property
    def shown(self) -> str:
        """The item with its right answer, as a few-shot example for others."""
        return self.prompt + (self.worked or self.answers[self.gold])


Row = Mapping[str, Any]


@dataclass(frozen=True)
class TaskKind:
    """How a task is read and scored."""

    kind: Kind
    read: Callable[[Row], TaskItem] | None = None
    human: float | None = None
    """Published human accuracy."""
    source: str = ""
    """The source of the published human accuracy."""
    built_in: bool = False
    """Whether it needs no file."""
    conversational: bool = False
    """Whether questions always go through the model's chat template."""
    right: Literal["text", "number"] = "text"
    """What of a written answer is scored: its text, or its number."""
    convention: str = ""
    """The text before a scored sentence, where other programs have other conventions."""


@dataclass(frozen=True)
class EvaluationTask:
    """A task with its items."""

    name: str
    of: TaskKind
    items: Sequence[TaskItem]
    path: Path | None = None

    @property
    def digest(self) -> str:
        """A hash of the files that the task was read from; empty for a built-in task."""
        return "" if self.path is None else ":".join(sha256_of(file) for file in files_of(self.path))


def _choices(row: Row) -> TaskItem:
    """Read a question with its choices: query, choices, gold; or ARC's, OpenBookQA's, HellaSwag's and COPA's own."""
    if "query" in row:
        prompt, choices, gold = row["query"], row["choices"], row["gold"]
    elif "premise" in row:
        link = {"cause": "because", "effect": "therefore"}[row["question"]]
        prompt = f"{row['premise'].strip()[:-1]} {link}"  # without its full stop
        choices = [row[name][0].lower() + row[name][1:] for name in ("choice1", "choice2")]
        gold = row["label"]
    elif "endings" in row:
        prompt = _unwikied(f"{row['activity_label']}: {row['ctx_a']} {row['ctx_b'].capitalize()}")
        choices, gold = [_unwikied(ending) for ending in row["endings"]], int(row["label"])
    else:
        asked = row["question"] if isinstance(row.get("question"), Mapping) else {**row, "stem": row.get("question")}
        prompt = row["question_stem"] if "question_stem" in row else f"Question: {asked['stem']}\nAnswer:"
        listed = asked["choices"]
        if isinstance(listed, Mapping):
            choices, labels = listed["text"], list(listed["label"])
        else:
            choices, labels = [each["text"] for each in listed], [each["label"] for each in listed]
        gold = labels.index(row["answerKey"])
    if not isinstance(choices, Sequence) or isinstance(choices, str):
        raise TypeError(f"choices are {type(choices).__name__}, not a list")
    return TaskItem("", (str(prompt),), tuple(f" {choice}" for choice in choices), int(gold))


def _unwikied(text: str) -> str:
    """Remove the WikiHow markup in HellaSwag's texts."""
    return re.sub(r"\[.*?\]", "", text.strip().replace(" [title]", ". ")).replace("  ", " ")


def _winogrande(row: Row) -> TaskItem:
    """Read a sentence with a gap: the text after the gap is scored after each of two options (Trinh and Le 2018)."""
    before, after = str(row["sentence"]).split("_", 1)
    options = (str(row["option1"]), str(row["option2"]))
    gold = int(row["answer"]) - 1
    return TaskItem("", tuple(before + o for o in options), (f" {after.strip()}",) * 2, gold, "/".join(sorted(options)))


def _pair(row: Row) -> TaskItem:
    """Read a minimal pair; both sentences get a leading space, as in lm-evaluation-harness."""
    return TaskItem("", ("",), (f" {row['sentence_good']}", f" {row['sentence_bad']}"))


def _last_word(row: Row) -> TaskItem:
    """Read a passage whose last word is to be predicted."""
    if "context" in row:
        return TaskItem("", (str(row["context"]),), (f" {row['continuation']}",))
    passage, _, word = str(row["text"]).rpartition(" ")
    return TaskItem("", (passage,), (f" {word}",))


def _answer(row: Row) -> TaskItem:
    """Read a question with a written answer; fields question and answer."""
    return TaskItem("", (f"Question: {row['question']}\nAnswer:",), (str(row["answer"]),), worked=f" {row['answer']}")


def _gsm8k(row: Row) -> TaskItem:
    """Read a problem whose worked solution ends in #### and a number."""
    _, mark, number = str(row["answer"]).rpartition("####")
    number = number.strip().replace(",", "")
    if not mark or not NUMBER.fullmatch(number):
        raise ValueError("the answer does not end in #### and a number")
    return replace(_answer(row), answers=(number,))


PAIRS = (
    "each sentence is scored whole, after {start} and a leading space, as lm-evaluation-harness does by default; after "
    "another token, or without the space, close pairs may come out differently"
)
"""How minimal pairs are scored; `{start}` is the token."""


TASKS: dict[str, TaskKind] = {
    "arc-easy": TaskKind("choices", _choices),
    "openbookqa": TaskKind("choices", _choices, 0.92, "Mihaylov et al. 2018, arXiv 1809.02789"),
    "hellaswag": TaskKind("choices", _choices, 0.95, "over 95%, Zellers et al. 2019, arXiv 1905.07830"),
    "copa": TaskKind("choices", _choices),
    "winogrande": TaskKind("choices", _winogrande, 0.94, "Sakaguchi et al. 2019, arXiv 1907.10641"),
    "blimp": TaskKind(
        "choices", _pair, 0.964, "agreement of all annotators together, Warstadt et al. 2020, arXiv 1912.00582",
        convention=PAIRS,
    ),
    "lambada": TaskKind("last word", _last_word),
    "gsm8k": TaskKind("answer", _gsm8k, right="number"),
    "storyworld": TaskKind("answer", built_in=True, conversational=True),
    "choices": TaskKind("choices", _choices),
    "pairs": TaskKind("choices", _pair, convention=PAIRS),
    "last-word": TaskKind("last word", _last_word),
    "answers": TaskKind("answer", _answer),
    "classes": TaskKind("classes"),
}  # fmt: skip
"""Known tasks. Files of your own are read by choices, pairs, last-word, answers and classes."""


def read_task(spec: str) -> EvaluationTask:
    """Read the task of `NAME=PATH`, or a built-in one by its name; every .jsonl file of a folder is one set.

    Raises `UserError` for an unknown name and a missing file, and lists every line that is no item of the task.
    """
    name, _, place = spec.partition("=")
    if name not in TASKS:
        raise UserError(f"--task {spec}: unknown task {name!r}; {nearest(name, TASKS)}")
    of = TASKS[name]
    if of.built_in:
        return EvaluationTask(name, of, _storyworld())
    if not place:
        raise UserError(f"--task {spec}: name its file, as in --task {name}=FILE.jsonl")
    path = Path(place)
    if of.read is None and path.is_dir():
        raise UserError(f"--task {spec}: is a folder; name the table of texts and labels")
    items, problems = [], []
    files = files_of(path)
    for file in files if of.read is not None else ():
        for number, record in enumerate(read_records(file)):
            try:
                item = _checked(of.read(record.values), of.kind) if of.read else TaskItem("", (), ())
            except (KeyError, ValueError, TypeError, AttributeError, IndexError) as error:
                what = f"no {error}" if isinstance(error, KeyError) else str(error)
                problems.append(f"{record.place}: no item of {name} ({what})")
                continue
            values = (record.values.get(name) for name in ("cluster", "passage"))
            cluster = item.cluster or next((str(value) for value in values if value is not None), "")
            id = f"{file.stem}/{record.values.get('id', number)}"
            items.append(replace(item, id=id, cluster=cluster, set=file.stem if len(files) > 1 else ""))
    raise_first(problems, "lines")
    return EvaluationTask(name, of, items, path)


def _checked(item: TaskItem, kind: Kind) -> TaskItem:
    """Refuse an item that cannot be scored."""
    if kind == "choices" and len(item.answers) < 2:
        raise ValueError("a choice needs at least two answers")
    if not 0 <= item.gold < len(item.answers):
        raise ValueError(f"the right answer is number {item.gold} of {len(item.answers)}")
    if not all(answer.strip() for answer in item.answers):
        raise ValueError("an answer is empty")
    return item


def files_of(path: Path) -> list[Path]:
    """Return a file, or the .jsonl files of a folder in order."""
    if path.is_dir():
        files = sorted(path.glob("*.jsonl"))
        if not files:
            raise UserError(f"{path}: holds no .jsonl file; name the folder of the task's sets")
        return files
    if not path.is_file():
        raise UserError(f"{path}: no such file; check the spelling")
    return [path]


def _storyworld() -> list[TaskItem]:
    """Return the questions about facts that the embedded stories state."""
    return [
        TaskItem(f"storyworld/{number}", (each.question,), (each.expected,), cluster=each.subject, worked=each.expected)
        for number, each in enumerate(storyworld.questions())
        if each.split == "held-in"
    ]
