"""Numbers out of range for every numeric flag of every command, found in the configs themselves."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterator
from typing import Any

from fuzz.targets import TARGETS, Case
from scratchlm.commands import COMMANDS

NUMERIC = (
    "prepare stories.jsonl",
    "tokenizer train",
    "tokenizer inspect",
    "plan",
    "pretrain",
    "finetune classify",
    "finetune instruct",
    "finetune prefer",
    "synthesize",
    "classify",
    "evaluate task",
    "generate",
    "chat",
    "quiz",
)
"""Targets whose numeric flags are all tried."""
VALUES = {
    int: ("-1", "-9223372036854775809", "1000000000000000000000000", "9" * 5000, "1.5", "nan", "", "\x1b[31m"),
    float: ("nan", "inf", "-inf", "-1", "1e300", "1e999", "two", ""),
}
FURTHER = (
    ("quickstart", ("quickstart", "--out", "out"), ("--minutes", "--seed", "--threads")),
    ("timelapse", ("timelapse", "storyworld:1MB", "--out", "out"), ("--steps", "--depth", "--frames", "--passage")),
    ("finetune reinforce", ("finetune", "reinforce", "--init", "model", "--out", "out"),
     ("--questions", "--group-size", "--temperature", "--reply-tokens", "--kl-weight")),
    ("plan published", ("plan", "hf/config.json"), ("--tokens",)),
    ("experiment", ("experiment", "ladder-lm", "--out", "out"),
     ("--megabytes", "--epochs", "--depth", "--pairs", "--seed", "--vocabulary-size")),
    ("experiment", ("experiment", "scaling", "--out", "out"), ("--depths", "--tokens", "--batch-size", "--seed")),
)  # fmt: skip
SOURCES = (
    "storyworld:99999999GB",
    "storyworld:-1MB",
    "storyworld:nanMB",
    "storyworld:infGB",
    "storyworld:",
    "storyworld:1e99MB",
    "gutenberg:-1",
    "gutenberg:99999999999999999999",
    "no-such-thing",
    "\x1b[31m",
    "x" * 300,
    "a\0b",
    "/dev/zero",
    "/dev/tty",
    "storyworld:0MB",
    "storyworld:" + "9" * 5000 + "MB",
    "x" * 300 + ".txt",
    "\udcff.txt",
)
SIZES = (
    "layers=1000000000",
    "width=1000000000",
    "vocabulary-size=1000000000000",
    "context=1000000000000",
    "attention.heads=1000000000",
    "attention.head-dim=1000000000",
    "feed-forward.hidden=1000000000000",
    "dropout=nan",
    "init-std=nan",
    "init-std=-1",
    "init-std=1e300",
    "norm.eps=nan",
    "norm.eps=-1",
    "positions.theta=nan",
    "positions.theta=0",
    "positions.partial_rotary_factor=2",
    "positions.partial_rotary_factor=-1",
)


def _flags(config: type, prefix: str = "") -> Iterator[tuple[str, type]]:
    """Yield the numeric flags of a config."""
    for name, hint in typing.get_type_hints(config).items():
        if hint is None or name == "type" or name not in {field.name for field in dataclasses.fields(config)}:
            continue
        kinds = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
        flag = f"{prefix}{name.replace('_', '-')}"
        for kind in kinds:
            if kind in VALUES:
                yield flag, kind
            elif dataclasses.is_dataclass(kind):
                inner = "" if name in ("sampling", "clean") else f"{flag}."
                yield from _flags(typing.cast(type, kind), inner)


def cases() -> Iterator[Case]:
    """Yield one case for each flag and each of some values that do not fit it."""
    by_name = {target.name: target for target in TARGETS}
    for command in NUMERIC:
        target = by_name[command]
        words = next(" ".join(target.arguments[:n]) for n in (2, 1) if " ".join(target.arguments[:n]) in COMMANDS)
        flags = dict.fromkeys(_flags(COMMANDS[words].config()))
        for number, (flag, kind) in enumerate(flags):
            values: Any = VALUES[kind]
            for turn in range(3):
                value = values[(number * 3 + turn) % len(values)]
                yield _case(
                    command,
                    (*target.arguments, f"--{flag}={value}"),
                    f"--{flag}={value[:24]!r}",
                    target.seeds,
                    target.out,
                )
    for command, arguments, flags in FURTHER:
        for number, flag in enumerate(flags):
            for value in VALUES[float][number % 2 :: 2]:
                seeds = by_name[command].seeds if command == "plan published" else ("model",)
                yield _case(command, (*arguments, f"{flag}={value}"), f"{arguments[1]} {flag}={value}", seeds, "out")
    for source in SOURCES:
        yield _case("prepare source", ("prepare", source, "--out", "out"), f"source {source[:30]!r}", (), "out")
    for size in SIZES:
        for command in ("plan", "pretrain"):
            target = by_name[command]
            yield _case(command, (*target.arguments, f"--model.{size}"), f"--model.{size}", target.seeds, target.out)
    names = [("a folder", "model"), ("300 characters", "n" * 300), ("a device", "/dev/zero"), ("an escape", "\x1b[2J")]
    for target in TARGETS:
        for what, path in names:
            if target.damaged and target.name != "prepare folder":
                swapped = tuple(
                    path if each == target.damaged[0][0].split("/")[0] else each for each in target.arguments
                )
                if swapped != target.arguments:
                    yield _case(
                        target.name, swapped, f"{what} for {target.damaged[0][0]}", (*target.seeds, "model"), target.out
                    )


def _case(command: str, arguments: tuple[str, ...], name: str, seeds: tuple[str, ...], out: str | None) -> Case:
    return Case(f"{command}: {name}", command, arguments, tuple(dict.fromkeys(seeds)), out=out)
