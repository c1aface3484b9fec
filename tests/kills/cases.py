"""The commands that are killed, the files that they read, and what an end of theirs is compared by."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.kills.process import call
from tests.toys import BYTE_VOCABULARY, byte_tokenizer, random_decoder, toy_config

from scratchlm.tokens.chat import ChatTemplate
from scratchlm.weights.checkpoint import SavedModel, save_model

CLOCKED = (
    "seconds",
    "timing",
    "started",
    "ended",
    "tokens_per_second",
    "phases",
    "last_review",
    "timings",
    "notes",
    "seal",
    "due",
    "peak_memory",
    "joules",
    "product_peak",
)
"""Keys of JSON whose values a clock or the machine decides, or how often a command was started."""
WORDS = ("cat", "dog", "hen", "cow", "pig", "fox")
CARDS = 5
"""New cards that the quiz asks."""


@dataclass(frozen=True)
class Case:
    """A command to kill. `SHOP` in it is the folder of what it reads; it writes `out` in the folder it runs in."""

    name: str
    command: str
    resumes: str | None = None
    """What goes on with a training that began."""
    older: str | None = None
    """What wrote the version that stands there already, where one does: `command` replaces it."""
    out: str = "out"
    atomic: bool = True
    """Whether `out` is whole or absent at every moment, so that no --force is needed to repeat the command."""
    renames: bool = False
    """Whether folders are replaced by two renames, as on systems that cannot exchange two names in one step."""
    typed: str | None = None
    """What is typed on the terminal."""
    paced: bool = False
    """Whether the clock decides how long it trains: then the names of what it writes are compared, not the bytes."""

    def arguments(self, shop: Path, line: str) -> list[str]:
        """Return a command line as a list."""
        return [part.replace("SHOP", str(shop)) for part in line.split(" ")]


FP32 = "--dtype fp32 --threads 1"
STEPS = "--training.steps 12 --training.checkpoint-every 3 --training.evaluate-every 4 --training.sample-every 6"
SIZES = "--training.batch-size 2 --training.sequence-length 32 --training.log-every 1"
PRETRAIN = f"pretrain tiny --data SHOP/data --out out {FP32} {STEPS} {SIZES}"
TUNE = f"--init SHOP/base --out out {FP32} --training.log-every 1"
SHORT = "--training.sequence-length 64"
LABELS = f"finetune classify --data SHOP/labels.jsonl {TUNE} --epochs 4"
TALK = f"finetune instruct --data SHOP/talk.jsonl {TUNE} {SHORT} --epochs 2 --scored 2 --reply-tokens 4"
TALK += " --split hash:0.1 --rewordings 2 --general 0"
PAIRS = f"finetune prefer --data SHOP/pairs.jsonl {TUNE} {SHORT} --epochs 2"
ASK = f"finetune reinforce --task storyworld {TUNE} --epochs 0.1 --questions 4 --group-size 2 "
ASK += "--reply-tokens 3 --kl-weight 1"
TRAIN_TOKENIZER = "tokenizer train SHOP/text.txt --out out --vocabulary-size"
PREPARE = "prepare SHOP/text.txt --split-on \\n\\n --out out --vocabulary-size"
QUICK = "quickstart --minutes 0.05 --no-chat --source SHOP/days.jsonl --out out --dtype fp32 --threads 1"
TIMELAPSE = "timelapse SHOP/days.jsonl --out out --steps 3 --depth 1 --frames 3 --passage 40 --threads 1"
SYNTHESIZE = "synthesize SHOP/text.txt --out out.jsonl --per-document"
EVALUATE = "evaluate SHOP/base --threads 1 --out out.json --task choices=SHOP/choices.jsonl"
EVERY_PART = """
depth_scaling = "speedrun"
depth = 2

[model]
width = 64
dropout = 0.2
attention = {heads = 1, kv_heads = 1, head_dim = 64}
feed_forward = {hidden = 96}
ngrams = {type = "hashed", longest = 3, rows = 300}
values = {type = "table"}
x0_residual = {type = "embedding"}
multi_token_prediction = {type = "head"}

[training]
compile = false
size_warmup = {type = "stage", fraction = 0.5, batch_size = 3, sequence_length = 16}
optimizer = {type = "muon", weight_decay = 0.3, cautious = true}
decay_with_lr = true
tail_average = 0.4
"""
LIMITS = "experiment limits --small --pretraining-steps 2 --vocabulary-size 300 --epochs 0.01 --tested 10 --sampled 10"


def _training(name: str, command: str) -> Case:
    verb = " ".join(command.split(" ")[: 2 if command.startswith("finetune") else 1])
    return Case(name, command, resumes=f"{verb} --resume out", atomic=False)


CASES = (
    Case("tokenizer train", f"{TRAIN_TOKENIZER} 280"),
    Case("tokenizer train, over another", f"{TRAIN_TOKENIZER} 280 --force", older=f"{TRAIN_TOKENIZER} 270"),
    Case("prepare", f"{PREPARE} 280"),
    Case("prepare, over another", f"{PREPARE} 280 --force", older=f"{PREPARE} 270"),
    Case("prepare, by two renames", f"{PREPARE} 280 --force", older=f"{PREPARE} 270", renames=True),
    Case("import", "import SHOP/hf --out out"),
    Case("import, over another", "import SHOP/gguf/model.gguf --out out --force", older="import SHOP/hf --out out"),
    *(Case(f"export to {to}", f"export SHOP/base --to {to} --out out") for to in ("hf", "gguf", "html")),
    *(
        Case(f"export to {to}, over another", f"export SHOP/base --to {to} --out out --force", older=older)
        for to, older in {to: f"export SHOP/other --to {to} --out out" for to in ("hf", "gguf", "html")}.items()
    ),
    Case("export to peft", "export SHOP/adapted --to peft --out out"),
    _training("pretrain", PRETRAIN),
    _training("pretrain with every part", PRETRAIN.replace("tiny", "SHOP/every-part.toml")),
    Case("pretrain, over another", f"{PRETRAIN} --force", older=f"{PRETRAIN} --seed 1", atomic=False),
    *(
        _training(f"finetune {kind}{' with adapters' if flag else ''}", command + flag)
        for kind, command in {
            "classify": LABELS,
            "instruct": TALK,
            "prefer": PAIRS,
            "reinforce": f"{ASK} --kl-weight 0.1",
        }.items()
        for flag in ("", " --lora")
    ),
    replace(_training("finetune classify, by two renames", LABELS), renames=True),
    Case("quickstart", QUICK, atomic=False, paced=True),
    Case("quickstart, over another", f"{QUICK} --force", older=f"{QUICK} --seed 1", atomic=False, paced=True),
    Case("timelapse", TIMELAPSE),
    Case("timelapse, over another", f"{TIMELAPSE} --force", older=f"{TIMELAPSE} --seed 1"),
    Case("evaluate", EVALUATE, out="out.json"),
    Case("evaluate, over another", EVALUATE, older=f"{EVALUATE} --limit 3", out="out.json"),
    Case("experiment", f"{LIMITS} --threads 1 --out out", atomic=False),
    Case("synthesize", f"{SYNTHESIZE} 4", out="out.jsonl"),
    Case("synthesize, over another", f"{SYNTHESIZE} 4 --force", older=f"{SYNTHESIZE} 2", out="out.jsonl"),
    Case("quiz", f"quiz --progress out.json --new {CARDS}", out="out.json", atomic=False, typed="\n4\n" * CARDS),
)


def build_shop(shop: Path) -> None:
    """Write what the commands read."""
    shop.mkdir(parents=True)
    draw = random.Random(0)
    days = [f"On day {day} the miller sold {day * day} sacks. His cat slept in the old mill." for day in range(2000)]
    texts = [f"{number} " + " ".join(draw.choices(WORDS, k=3)) for number in range(40)]
    rows: dict[str, list[dict[str, Any]]] = {
        "labels": [{"text": text, "label": "odd" if n % 2 else "even"} for n, text in enumerate(texts)],
        "talk": [{"prompt": text, "completion": text[::-1]} for text in texts],
        "pairs": [{"prompt": text, "chosen": "yes", "rejected": f"no {n}"} for n, text in enumerate(texts)],
        "days": [{"text": day} for day in days],
        "choices": [{"query": f"{n} is", "choices": [str(n), "many"], "gold": n % 2} for n in range(6)],
    }
    for name, each in rows.items():
        (shop / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in each), encoding="utf-8")
    (shop / "every-part.toml").write_text(EVERY_PART, encoding="utf-8")
    (shop / "text.txt").write_text("\n\n".join(days[:300]), encoding="utf-8")
    tokenizer = byte_tokenizer()
    for seed, name in enumerate(("base", "other")):
        decoder = random_decoder(toy_config("default", vocabulary_size=BYTE_VOCABULARY, context=80), seed)
        save_model(shop / name, SavedModel(decoder, tokenizer, template=ChatTemplate(tokenizer)))
    for name, line in {
        "data": f"{PREPARE} 280",
        "hf": "export SHOP/base --to hf --out out",
        "gguf": "export SHOP/base --to gguf --out out",
        "adapted": f"{PAIRS} --lora --epochs 0.1",
    }.items():
        ended = call(shop, Case(name, line).arguments(shop, line.replace("--out out", f"--out {name}")), False)
        if ended.status:
            raise RuntimeError(ended.said)


def written(case: Case, folder: Path) -> dict[str, Any]:
    """Return what a command wrote into its folder, as far as it must be the same each time."""
    found = contents(folder / case.out)
    return {name: None for name in found if "samples/" not in name} if case.paced else found


def contents(out: Path) -> dict[str, Any]:
    """Return what stands in a file or folder, without what a clock decided: bytes, or JSON's values."""
    if not out.exists():
        return {}
    files = [out] if out.is_file() else sorted(path for path in out.rglob("*") if path.is_file())
    return {path.relative_to(out.parent).as_posix(): _content(path, out.parent) for path in files}


def _content(path: Path, place: Path) -> Any:
    data = path.read_bytes().replace(os.fsencode(place), b"PLACE")
    if path.name == "report.html":  # draws the clock's numbers too; what it is drawn from is compared
        return len(data) > 1000
    if path.suffix == ".json":
        return _unclocked(json.loads(data))
    if path.name == "metrics.jsonl":
        return [_unclocked(json.loads(line)) for line in data.splitlines()]
    return data


def _unclocked(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _unclocked(each) for key, each in value.items() if key not in CLOCKED}
    return [_unclocked(each) for each in value] if isinstance(value, list) else value


def leftovers(folder: Path) -> list[str]:
    """Return what a command left that is no result: temporary files and folders, locks."""
    found: Sequence[Path] = sorted(folder.rglob(".*"))
    return [path.relative_to(folder).as_posix() for path in found if path.suffix in (".tmp", ".old", ".lock")]
