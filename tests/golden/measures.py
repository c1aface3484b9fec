"""What is recorded: losses, greedy text, token ids, results of experiments, hashes of exports."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import safetensors.numpy
from tests.kills.cases import SHORT, TUNE, build_shop
from tests.kills.process import call

from scratchlm.base.device import machine

Entries = dict[str, Any]

STEPS = 20
RECIPES = ("books", "characters", "characters-quick", "default", "further", "gpt2", "speedrun", "tiny", "every-part")
PRETRAIN = (
    f"--data SHOP/data --out out --dtype fp32 --threads 1 --training.steps {STEPS} --training.evaluate-every 10 "
    "--training.sample-every 0 --training.checkpoint-every 0 --training.batch-size 2 --training.micro-batch-size 2 "
    "--training.sequence-length 32 --training.log-every 1 --training.no-compile"
)
SMALLER = {"books": " --depth 2", "default": " --depth 2", "speedrun": " --depth 2", "gpt2": " --model.layers 1"}
FINETUNINGS = {
    "classify": f"finetune classify --data SHOP/labels.jsonl {TUNE} --epochs 10 --split hash:0.1",
    "instruct": f"finetune instruct --data SHOP/talk.jsonl {TUNE} {SHORT} --epochs 10 --scored 2 --reply-tokens 4 "
    "--split hash:0.1 --rewordings 0 --general 0",
    "prefer": f"finetune prefer --data SHOP/pairs.jsonl {TUNE} {SHORT} --epochs 10 --split hash:0.1",
    "reinforce": f"finetune reinforce --task storyworld {TUNE} --epochs 0.6 --questions 4 --group-size 2 "
    "--reply-tokens 3 --kl-weight 0.1",
}
STRINGS = 1000
EXPORTS = ("hf", "gguf", "peft")
EXPERIMENTS = (
    *("ladder-spam", "ladder-lm", "ladder-translate", "compare-reading", "ladder-respond", "label-efficiency"),
    *("ablations", "objective", "scaling", "features", "tasks", "crossover", "limits", "context"),
)


def measure(place: Path, parts: Sequence[str]) -> dict[str, Entries]:
    """Run the parts in a folder and return what they give. Raises `RuntimeError` where a command fails."""
    shop = place / "shop"
    build_shop(shop)
    _run(shop, shop, "prepare SHOP/text.txt --split-on \\n\\n --tokenizer SHOP/base --out own")
    here = {key: value for key, value in machine().items() if key != "cores"}
    return {"machine": here, **{part: PARTS[part](place / part, shop) for part in parts}}


def _run(folder: Path, shop: Path, line: str) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    ended = call(folder, [part.replace("SHOP", str(shop)) for part in line.split(" ")], False)
    if ended.status:
        raise RuntimeError(f"{line}: {ended.said}")
    return ended.said


def _losses(out: Path) -> Entries:
    """Return the losses that a run logged, and the hash of each tensor that it ended with."""
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    losses = [line["loss"] for line in lines if line["kind"] == "train"][:STEPS]
    files = sorted(out.rglob("model.safetensors")) or sorted(out.rglob("adapters.safetensors"))
    return {"losses": losses, "weights": _tensors(files[-1])}


def _tensors(file: Path) -> dict[str, str]:
    """Return the beginning of the hash of each tensor of a file, by name."""
    tensors = safetensors.numpy.load_file(file)
    return {
        name: hashlib.sha256(repr(tensor.shape).encode() + tensor.tobytes()).hexdigest()[:16]
        for name, tensor in tensors.items()
    }


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _training(place: Path, shop: Path) -> Entries:
    found: Entries = {}
    for recipe in RECIPES:
        name = "SHOP/every-part.toml" if recipe == "every-part" else recipe
        init = " --init SHOP/base" if recipe == "further" else ""
        data = PRETRAIN.replace("SHOP/data", "SHOP/own") if init else PRETRAIN
        _run(place / recipe, shop, f"pretrain {name} {data}{SMALLER.get(recipe, '')}{init}")
        found[recipe] = _losses(place / recipe / "out")
    return found


def _finetuning(place: Path, shop: Path) -> Entries:
    found: Entries = {}
    for kind, line in FINETUNINGS.items():
        for flag in ("", " --lora"):
            name = f"{kind}{flag}"
            _run(place / name, shop, line + flag)
            found[name] = _losses(place / name / "out")
    return found


def _generation(place: Path, shop: Path) -> Entries:
    asked = "--temperature 0 --max-tokens 32 --threads 1"
    return {
        "generate": _run(place, shop, f"generate SHOP/base The {asked}"),
        "chat": _run(place, shop, f"chat SHOP/base --message Why? {asked}"),
    }


def _tokens(place: Path, shop: Path) -> Entries:
    from scratchlm.tokens.pretrained import load_tokenizer

    draw = random.Random(0)
    alphabet = [*map(chr, range(32, 127)), *"\n\t  éß中日\u0301\u200d🙂", " the", "ing ", "<|endoftext|>", "1234"]
    texts = ["".join(draw.choices(alphabet, k=draw.randrange(1, 40))) for _ in range(STRINGS)]
    found: Entries = {}
    for name in ("data", "base"):
        tokenizer = load_tokenizer(shop / name)
        ids = [tokenizer.encode(text) for text in texts]
        found[name] = hashlib.sha256(json.dumps([list(map(int, each)) for each in ids]).encode()).hexdigest()
    return found


def _exports(place: Path, shop: Path) -> Entries:
    found: Entries = {}
    for to in EXPORTS:
        _run(place / to, shop, f"export SHOP/{'adapted' if to == 'peft' else 'base'} --to {to} --out out")
        files = [path for path in sorted((place / to / "out").rglob("*")) if path.is_file() and path.name[0] != "."]
        found |= {f"{to}, {path.name}": _sha256(path) for path in files}
    return found


def _experiments(place: Path, shop: Path) -> Entries:
    found: Entries = {}
    for name in EXPERIMENTS:
        _run(place / name, shop, f"experiment {name} --small --threads 1 --out out")
        result = json.loads((place / name / "out" / "result.json").read_text(encoding="utf-8"))
        claims = {key: claim["holds"] for key, claim in result["claims"].items() if not claim["timed"]}
        found[name] = {"values": result["values"], "claims": claims}
    return found


PARTS: dict[str, Callable[[Path, Path], Entries]] = {
    "training": _training,
    "finetuning": _finetuning,
    "generation": _generation,
    "tokens": _tokens,
    "exports": _exports,
    "experiments": _experiments,
}
"""What can be measured, by name."""
