"""Small valid files of every kind that a command reads, made by the commands themselves."""

from __future__ import annotations

import gzip
import json
import random
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import pyarrow
import pyarrow.parquet

from fuzz.office import write_docx, write_pdf
from scratchlm.evaluation.run import digest_of
from scratchlm.evaluation.work import Work, key_of

Run = Callable[..., None]
"""Runs a command that must succeed, in the folder of the seeds."""

SHORT = ("--training.sequence-length", "32")
SMALL = ("--dtype", "fp32", "--threads", "1", "--training.batch-size", "2")
TRAINING = (*SMALL, *SHORT)
CLASSIFYING = (*SMALL, "--epochs", "0.2", "--training.checkpoint-every", "1")
FINETUNING = (*CLASSIFYING, *SHORT)
STEPS = ("--training.steps", "4", "--training.checkpoint-every", "2", "--training.evaluate-every", "0",
         "--training.sample-every", "0", "--training.evaluation-tokens", "256")  # fmt: skip
CARDS = """<details>
<summary>🎯Q. What does a language model predict?</summary>

⭐ The next token.

<sub>chapter 1 · tags: objective · shows: test tests/model/test_decoder.py</sub>

</details>
"""


def build(folder: Path, run: Run) -> None:
    """Fill a folder with seeds."""
    _texts(folder)
    _tables(folder)
    run("tokenizer", "train", "text", "--out", "tokenizer", "--vocabulary-size", "280")
    run("prepare", "text", "--out", "data", "--tokenizer", "tokenizer", "--no-overlap")
    run("pretrain", "recipe.toml", "--data", "data", "--out", "run", *TRAINING, *STEPS)
    shutil.copytree(folder / "run" / "checkpoints" / "00000004", folder / "model")
    tables = ("--text-column", "text", "--label-column", "label")
    run("finetune", "classify", "--init", "run", "--data", "labelled.csv", "--out", "classifier", *tables, *CLASSIFYING)
    answers = ("--scored", "1", "--reply-tokens", "2")
    talk = ("finetune", "instruct", "--init", "run", "--data", "conversations.jsonl")
    run(*talk, "--out", "talk", *answers, *FINETUNING)
    run(*talk, "--out", "lora", *answers, *FINETUNING, "--lora")
    for kind in ("hf", "gguf"):
        run("export", "talk", "--to", kind, "--out", kind)
    run("export", "lora", "--to", "peft", "--out", "peft")
    for name in ("first.json", "second.json"):
        run("evaluate", "run", "--task", "choices=items.jsonl", "--out", name, "--threads", "1")
    kept = Work(folder / "out.json.partial", digest_of(folder / "model"))
    kept.known = {key_of("an answer"): [-1.5, 1, True], key_of("a written answer"): "text"}
    kept.save()
    _llama2c(folder / "llama2c")
    _experiment(folder / "experiment.json")
    (folder / "cards.md").write_text(CARDS, encoding="utf-8")
    progress = {"format": 1, "reviews": 0, "cards": {}}
    (folder / "progress.json").write_text(json.dumps(progress), encoding="utf-8")
    (folder / "learn.json").write_text(json.dumps({"format": 1, "solved": ["2.1"]}), encoding="utf-8")


def _texts(folder: Path) -> None:
    draw = random.Random(0)
    nouns, verbs = ("miller", "cat", "sailor", "queen", "river"), ("sees", "finds", "hides", "counts")
    stories = [
        " ".join(f"The {draw.choice(nouns)} {draw.choice(verbs)} {draw.randrange(99)} stones." for _ in range(30))
        for _ in range(40)
    ]
    (folder / "text").mkdir()
    for number, story in enumerate(stories):
        (folder / "text" / f"story{number}.txt").write_text(story + "\n", encoding="utf-8")
    lines = "".join(json.dumps({"text": story}) + "\n" for story in stories)
    (folder / "stories.jsonl").write_text(lines, encoding="utf-8")
    (folder / "stories.json").write_text(json.dumps([{"text": story} for story in stories]), encoding="utf-8")
    (folder / "stories.csv").write_text("text\n" + "".join(f'"{story}"\n' for story in stories), encoding="utf-8")
    (folder / "stories.txt.gz").write_bytes(gzip.compress("\n".join(stories).encode()))
    (folder / "stories.jsonl.zst").write_bytes(pyarrow.compress(lines.encode(), "zstd", asbytes=True))
    pyarrow.parquet.write_table(pyarrow.table({"text": stories}), folder / "stories.parquet")
    write_docx(folder / "stories.docx", stories)
    write_pdf(folder / "stories.pdf", stories)
    (folder / "recipe.toml").write_text(
        'preset = "tiny"\n\n[model]\nwidth = 32\ncontext = 64\ninit_std = 0.02\n\n[training]\nsteps = 4\n'
        "clip = 1.0\n\n[training.optimizer]\nlearning_rate = 0.01\n",
        encoding="utf-8",
    )
    (folder / "templates.toml").write_text(
        '[[template]]\nuser = "Go on: {sentence}"\nassistant = "{next}"\n', encoding="utf-8"
    )


def _tables(folder: Path) -> None:
    labelled = [(f"call {n} now", "spam") if n % 3 else (f"see you at {n}", "ham") for n in range(40)]
    rows = "".join(f"{label},{text}\n" for text, label in labelled)
    (folder / "labelled.csv").write_text("label,text\n" + rows, encoding="utf-8")
    _lines(
        folder / "conversations.jsonl",
        [
            {"messages": [{"role": "user", "content": f"Count {n}"}, {"role": "assistant", "content": f"{n} stones"}]}
            for n in range(30)
        ],
    )
    faq = "".join(f"## Stone {n}?\n\n**Box** {n}.\n\n" for n in range(30))
    (folder / "faq.md").write_text(faq, encoding="utf-8")
    pairs = [{"prompt": f"Count {n}", "chosen": f"{n} stones", "rejected": "no"} for n in range(30)]
    _lines(folder / "preferences.jsonl", pairs)
    items = [{"query": f"What is {n}?", "choices": ["stones", "a cat"], "gold": n % 2} for n in range(4)]
    _lines(folder / "items.jsonl", items)
    (folder / "lines.txt").write_text("call me\nsee you\n", encoding="utf-8")


def _lines(path: Path, rows: list[dict[str, object]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def _llama2c(folder: Path) -> None:
    """A model of llama2.c with a vocabulary of the bytes."""
    folder.mkdir()
    width, hidden, layers, heads, vocabulary, context = 8, 16, 1, 2, 262, 16
    count = vocabulary * width + layers * (2 * width + 4 * width * width + 3 * width * hidden) + width
    numbers = random.Random(0)
    data = struct.pack("<7i", width, hidden, layers, heads, heads, vocabulary, context)
    data += struct.pack(f"<{count}f", *(numbers.gauss(0, 0.1) for _ in range(count)))
    (folder / "model.bin").write_bytes(data + bytes(4 * context * (width // heads)))
    texts = ["<unk>", "<s>", "</s>", *(f"<0x{n:02X}>" for n in range(256)), " ", "a", "b"]
    pieces = b"".join(struct.pack("<fi", -float(n), len(text)) + text.encode() for n, text in enumerate(texts))
    (folder / "tok262.bin").write_bytes(struct.pack("<i", 6) + pieces)


def _experiment(path: Path) -> None:
    from scratchlm.base.config import to_dict
    from scratchlm.lab.catalogue import recipe
    from scratchlm.lab.harness.outcome import Claim, Curves, Outcome, Table, TextSample, Value, write_outcome

    settings = {
        key: value for key, value in to_dict(recipe("ladder-lm", "small")).items() if key not in ("out", "data")
    }
    found = Outcome("ladder-lm", "How well?", settings)
    found.values, found.claims = {"bits": Value(1.5, 1.4, 1.6)}, {"better": Claim("It is better.", True)}
    found.tables, found.samples = [Table("All", ["model"], [["one"]])], [TextSample("one", "text")]
    found.curves = [Curves("Loss", "steps", "loss", {"one": ([1.0], [2.0])})]
    write_outcome(path, found)
