"""Commands with the files that each reads, and the cases that come of damaging them."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

from fuzz import damage
from fuzz.office import of_docx
from fuzz.seeds import CLASSIFYING, FINETUNING, STEPS, TRAINING

Reader = Callable[[Path], Iterator[tuple[str, damage.Damage]]]


@dataclasses.dataclass(frozen=True)
class Target:
    """A command on undamaged seeds, which succeeds, and the files of them that are damaged."""

    name: str
    arguments: tuple[str, ...]
    seeds: tuple[str, ...]
    """What of the seeds the command needs."""
    damaged: tuple[tuple[str, str], ...]
    """Files to damage and their kinds."""
    out: str | None = "out"
    """What the command writes."""
    stdin: str | None = None
    """The file of the seeds that is its standard input."""
    succeeds: bool = True
    partial: bool = False
    """Whether what could be done stands on stdout although the rest was refused."""


@dataclasses.dataclass(frozen=True)
class Case:
    """A command in a folder of its own, and what is done to the seeds there before it."""

    name: str
    command: str
    arguments: tuple[str, ...]
    seeds: tuple[str, ...] = ()
    damage: Callable[[Path], None] | None = None
    out: str | None = "out"
    stdin: str | None = None
    must_fail: bool = False
    must_succeed: bool = False
    partial: bool = False
    grows: bool = False
    """Whether the command goes on with a folder that holds something already."""


CONFIG, WEIGHTS, TOKENIZER = ("config.json", "json"), ("model.safetensors", "tensors"), ("tokenizer.json", "json")
OURS = (CONFIG, WEIGHTS, TOKENIZER, ("generation.json", "json"), ("files.json", "json"))
GENERATE = ("--max-tokens", "3", "--temperature", "0", "--threads", "1")


def _inside(folder: str, *files: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple((f"{folder}/{name}", kind) for name, kind in files)


TARGETS = [
    *[
        Target(f"prepare {name}", ("prepare", name, "--out", "out", "--tokenizer", "tokenizer", "--strict"),
               (name, "tokenizer"), ((name, kind), *more))
        for name, kind, *more in [
            ("stories.jsonl", "lines", ("tokenizer/tokenizer.json", "json")), ("stories.json", "text"),
            ("stories.csv", "text"), ("stories.txt.gz", "gz"), ("stories.jsonl.zst", "zst"), ("stories.parquet", "any"),
            ("stories.docx", "docx"), ("stories.pdf", "any"),
        ]
    ],
    Target("prepare folder", ("prepare", "text", "--out", "out", "--vocabulary-size", "270"), ("text",),
           (("text/story3.txt", "text"),)),
    Target("tokenizer train", ("tokenizer", "train", "stories.jsonl", "--out", "out", "--vocabulary-size", "270"),
           ("stories.jsonl",), (("stories.jsonl", "lines"),)),
    Target("tokenizer inspect", ("tokenizer", "inspect", "tokenizer", "The cat"), ("tokenizer",),
           (("tokenizer/tokenizer.json", "json"),), None),
    Target("plan", ("plan", "recipe.toml", "--no-probe"), ("recipe.toml",), (("recipe.toml", "toml"),), None),
    Target("plan published", ("plan", "hf/config.json"), ("hf",), (("hf/config.json", "json"),), None),
    Target("pretrain", ("pretrain", "recipe.toml", "--data", "data", "--out", "out", *TRAINING, *STEPS),
           ("recipe.toml", "data"),
           (("recipe.toml", "toml"),
            *_inside("data", ("prepare.json", "json"), TOKENIZER, ("train-00000.tokens", "any")))),
    Target("pretrain --resume", ("pretrain", "--resume", "run"), ("run", "data"),
           _inside("run", ("recipe.toml", "toml"), ("manifest.json", "json"), ("metrics.jsonl", "lines"),
                   ("checkpoints/00000002/training.json", "json"),
                   ("checkpoints/00000002/optimizer.safetensors", "tensors")), None),
    Target("finetune classify", ("finetune", "classify", "--init", "model", "--data", "labelled.csv", "--out", "out",
                                 "--text-column", "text", "--label-column", "label", *CLASSIFYING),
           ("model", "labelled.csv"), (("labelled.csv", "text"), *_inside("model", CONFIG, WEIGHTS))),
    Target("finetune instruct", ("finetune", "instruct", "--init", "model", "--data", "conversations.jsonl", "--out",
                                 "out", "--scored", "1", "--reply-tokens", "2", *FINETUNING),
           ("model", "conversations.jsonl"), (("conversations.jsonl", "lines"),)),
    Target("finetune instruct faq", ("finetune", "instruct", "--init", "model", "--data", "faq.md", "--out", "out",
                                     "--scored", "1", "--reply-tokens", "2", *FINETUNING),
           ("model", "faq.md"), (("faq.md", "text"),)),
    Target("finetune prefer", ("finetune", "prefer", "--init", "talk/model", "--data", "preferences.jsonl", "--out",
                               "out", *FINETUNING),
           ("talk", "preferences.jsonl"),
           (("preferences.jsonl", "lines"), ("talk/model/chat_template.jinja", "template"))),
    Target("synthesize", ("synthesize", "text/story1.txt", "--out", "out.jsonl", "--templates", "templates.toml"),
           ("text", "templates.toml"), (("templates.toml", "toml"),), "out.jsonl"),
    Target("classify", ("classify", "classifier/model", "call me", "--threads", "1"), ("classifier",),
           _inside("classifier/model", CONFIG, WEIGHTS, ("linear.json", "json"), ("linear.safetensors", "tensors")),
           None),
    Target("classify stdin", ("classify", "classifier/model", "--threads", "1"), ("classifier", "lines.txt"),
           (("lines.txt", "text"),), None, "lines.txt", partial=True),
    Target("evaluate task", ("evaluate", "model", "--task", "choices=items.jsonl", "--threads", "1"),
           ("model", "items.jsonl"), (("items.jsonl", "lines"),), None),
    Target("evaluate interrupted", ("evaluate", "model", "--task", "choices=items.jsonl", "--threads", "1", "--out",
                                    "out.json"), ("model", "items.jsonl", "out.json.partial"),
           (("out.json.partial", "sealed"),), "out.json"),
    Target("evaluate data", ("evaluate", "model", "--data", "data", "--threads", "1"), ("model", "data"),
           _inside("data", ("prepare.json", "json"), ("validation-00000.tokens", "any")), None),
    Target("evaluate --replay", ("evaluate", "--replay", "first.json", "--threads", "1"),
           ("run", "items.jsonl", "first.json"), (("first.json", "sealed"),), None),
    Target("evaluate --compare", ("evaluate", "--compare", "first.json", "second.json"), ("first.json", "second.json"),
           (("second.json", "sealed"),), None),
    Target("generate", ("generate", "model", "The", *GENERATE), ("model",), _inside("model", *OURS), None),
    Target("generate lora", ("generate", "lora/model", "The", *GENERATE), ("lora", "run"),
           _inside("lora/model", CONFIG, WEIGHTS), None),
    Target("chat", ("chat", "talk/model", "--message", "Count 3", *GENERATE), ("talk",),
           _inside("talk/model", ("chat_template.jinja", "template"), ("generation.json", "json")), None),
    Target("inspect", ("inspect", "model"), ("model",), _inside("model", CONFIG, ("files.json", "json")), None),
    Target("import hf", ("import", "hf", "--out", "out"), ("hf",),
           _inside("hf", CONFIG, WEIGHTS, TOKENIZER, ("generation_config.json", "json"),
                   ("tokenizer_config.json", "json"), ("chat_template.jinja", "text"))),
    Target("import gguf", ("import", "gguf/model.gguf", "--out", "out"), ("gguf",), (("gguf/model.gguf", "gguf"),)),
    Target("import llama2c", ("import", "llama2c/model.bin", "--out", "out"), ("llama2c",),
           _inside("llama2c", ("model.bin", "any"), ("tok262.bin", "any"))),
    Target("import peft", ("import", "peft", "--base", "model", "--out", "out"), ("peft", "model", "run"),
           _inside("peft", ("adapter_config.json", "json"), ("adapter_model.safetensors", "tensors"))),
    Target("export", ("export", "model", "--to", "gguf", "--out", "out"), ("model",), _inside("model", CONFIG)),
    Target("quiz", ("quiz", "--count", "--notes", "cards.md", "--progress", "progress.json"),
           ("cards.md", "progress.json"), (("cards.md", "text"), ("progress.json", "json")), None),
    Target("learn", ("learn", "--progress", "learn.json"), ("learn.json",), (("learn.json", "json"),), None),
    Target("experiment --replay", ("experiment", "ladder-lm", "--replay", "experiment.json", "--out", "out"),
           ("experiment.json",), (("experiment.json", "sealed"),), succeeds=False),
]  # fmt: skip


def _kinds(kind: str, path: Path) -> Iterator[tuple[str, damage.Damage]]:
    """Yield the damage that suits a file."""
    yield from damage.of_any()
    if kind in ("text", "lines", "json", "toml", "sealed", "template"):
        yield from damage.of_text()
    readers: dict[str, list[Reader]] = {
        "json": [damage.of_json],
        "lines": [damage.of_lines],
        "toml": [damage.of_settings],
        "tensors": [damage.of_tensors],
        "gguf": [damage.of_gguf],
        "template": [damage.of_template],
        "sealed": [damage.of_json, _resealed],
        "gz": [damage.compressed],
        "zst": [damage.compressed],
        "docx": [of_docx],
    }
    for reader in readers.get(kind, []):
        yield from reader(path)


def _resealed(path: Path) -> Iterator[tuple[str, damage.Damage]]:
    """Damage what a result file says, and seal it as if a command had written it so."""

    def seal(path: Path) -> None:
        body = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(body, dict):
            body.pop("seal", None)
            body["seal"] = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
        path.write_text(json.dumps(body), encoding="utf-8")

    for name, harm in damage.of_json(path, 3):

        def apply(path: Path, harm: damage.Damage = harm) -> None:
            harm(path)
            seal(path)

        yield f"sealed-{name}", apply


def rehash(file: Path) -> None:
    """Write the hash of a damaged file into its model folder, so that what it says is read."""
    hashes = file.with_name("files.json")
    if hashes.is_file() and file.name != hashes.name and file.is_file() and not file.is_symlink():
        stored = json.loads(hashes.read_text(encoding="utf-8"))
        stored[file.name] = hashlib.sha256(file.read_bytes()).hexdigest()
        hashes.write_text(json.dumps(stored), encoding="utf-8")


def cases(seeds: Path) -> Iterator[Case]:
    """Yield every command undamaged, then with each of its files damaged in each way."""
    for target in TARGETS:
        shared = {"seeds": target.seeds, "out": target.out, "stdin": target.stdin, "partial": target.partial}
        yield Case(f"{target.name}: undamaged", target.name, target.arguments, must_succeed=target.succeeds, **shared)
    for target in TARGETS:
        shared = {"seeds": target.seeds, "out": target.out, "stdin": target.stdin, "partial": target.partial}
        for file, kind in target.damaged:
            for name, harm in _kinds(kind, seeds / file):

                def apply(folder: Path, harm: damage.Damage = harm, file: str = file) -> None:
                    harm(folder / file)
                    rehash(folder / file)

                yield Case(f"{target.name}: {file}: {name}", target.name, target.arguments, damage=apply, **shared)
